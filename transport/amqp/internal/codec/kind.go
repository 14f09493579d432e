package codec

// A Kind is a type of AMQP 1.0 (section 1.6), whatever its encoding.
type Kind uint8

// The types. Described is any of the others behind a descriptor.
const (
	Invalid Kind = iota
	Null
	Boolean
	Ubyte
	Ushort
	Uint
	Ulong
	Byte
	Short
	Int
	Long
	Float
	Double
	Decimal32
	Decimal64
	Decimal128
	Char
	Timestamp
	UUID
	Binary
	String
	Symbol
	List
	Map
	Array
	Described
)

var kindNames = [...]string{
	"nothing", "null", "boolean", "ubyte", "ushort", "uint", "ulong", "byte", "short", "int", "long", "float", "double",
	"decimal32", "decimal64", "decimal128", "char", "timestamp", "uuid", "binary", "string", "symbol", "list", "map", "array",
	"described",
}

// String returns the name that the specification has for k.
func (k Kind) String() string { return kindNames[k] }

// The format codes of section 1.6.
const (
	codeDescribed  = 0x00
	codeNull       = 0x40
	codeTrue       = 0x41
	codeFalse      = 0x42
	codeUint0      = 0x43
	codeUlong0     = 0x44
	codeList0      = 0x45
	codeUbyte      = 0x50
	codeByte       = 0x51
	codeSmallUint  = 0x52
	codeSmallUlong = 0x53
	codeSmallInt   = 0x54
	codeSmallLong  = 0x55
	codeBoolean    = 0x56
	codeUshort     = 0x60
	codeShort      = 0x61
	codeUint       = 0x70
	codeInt        = 0x71
	codeFloat      = 0x72
	codeChar       = 0x73
	codeDecimal32  = 0x74
	codeUlong      = 0x80
	codeLong       = 0x81
	codeDouble     = 0x82
	codeTimestamp  = 0x83
	codeDecimal64  = 0x84
	codeDecimal128 = 0x94
	codeUUID       = 0x98
	codeBinary8    = 0xa0
	codeString8    = 0xa1
	codeSymbol8    = 0xa3
	codeBinary32   = 0xb0
	codeString32   = 0xb1
	codeSymbol32   = 0xb3
	codeList8      = 0xc0
	codeMap8       = 0xc1
	codeList32     = 0xd0
	codeMap32      = 0xd1
	codeArray8     = 0xe0
	codeArray32    = 0xf0
)

// kinds has the type of each format code; the others are Invalid.
var kinds = [256]Kind{
	codeNull: Null, codeTrue: Boolean, codeFalse: Boolean, codeBoolean: Boolean,
	codeUbyte: Ubyte, codeUshort: Ushort, codeUint0: Uint, codeSmallUint: Uint, codeUint: Uint,
	codeUlong0: Ulong, codeSmallUlong: Ulong, codeUlong: Ulong,
	codeByte: Byte, codeShort: Short, codeSmallInt: Int, codeInt: Int, codeSmallLong: Long, codeLong: Long,
	codeFloat: Float, codeDouble: Double, codeDecimal32: Decimal32, codeDecimal64: Decimal64, codeDecimal128: Decimal128,
	codeChar: Char, codeTimestamp: Timestamp, codeUUID: UUID,
	codeBinary8: Binary, codeBinary32: Binary, codeString8: String, codeString32: String,
	codeSymbol8: Symbol, codeSymbol32: Symbol,
	codeList0: List, codeList8: List, codeList32: List, codeMap8: Map, codeMap32: Map,
	codeArray8: Array, codeArray32: Array,
}

// width returns how many bytes a value of fixed width has, by the high four
// bits of its code (section 1.2), or -1 if its width varies.
func width(code byte) int {
	switch code >> 4 {
	case 0x4:
		return 0
	case 0x5:
		return 1
	case 0x6:
		return 2
	case 0x7:
		return 4
	case 0x8:
		return 8
	case 0x9:
		return 16
	}
	return -1
}

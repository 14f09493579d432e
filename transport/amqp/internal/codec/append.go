package codec

import (
	"encoding/binary"
	"encoding/hex"
	"math"
)

// AppendNull appends null.
func AppendNull(dst []byte) []byte { return append(dst, codeNull) }

// AppendBool appends a boolean.
func AppendBool(dst []byte, v bool) []byte {
	if v {
		return append(dst, codeTrue)
	}
	return append(dst, codeFalse)
}

// AppendUbyte appends a ubyte.
func AppendUbyte(dst []byte, v uint8) []byte { return append(dst, codeUbyte, v) }

// AppendUshort appends a ushort.
func AppendUshort(dst []byte, v uint16) []byte { return append(dst, codeUshort, byte(v>>8), byte(v)) }

// AppendUint appends a uint.
func AppendUint(dst []byte, v uint32) []byte {
	switch {
	case v == 0:
		return append(dst, codeUint0)
	case v < 256:
		return append(dst, codeSmallUint, byte(v))
	}
	return binary.BigEndian.AppendUint32(append(dst, codeUint), v)
}

// AppendUlong appends a ulong.
func AppendUlong(dst []byte, v uint64) []byte {
	switch {
	case v == 0:
		return append(dst, codeUlong0)
	case v < 256:
		return append(dst, codeSmallUlong, byte(v))
	}
	return binary.BigEndian.AppendUint64(append(dst, codeUlong), v)
}

// AppendByte appends a byte, which is signed.
func AppendByte(dst []byte, v int8) []byte { return append(dst, codeByte, byte(v)) }

// AppendShort appends a short.
func AppendShort(dst []byte, v int16) []byte {
	return binary.BigEndian.AppendUint16(append(dst, codeShort), uint16(v))
}

// AppendInt appends an int.
func AppendInt(dst []byte, v int32) []byte {
	if v == int32(int8(v)) {
		return append(dst, codeSmallInt, byte(v))
	}
	return binary.BigEndian.AppendUint32(append(dst, codeInt), uint32(v))
}

// AppendLong appends a long.
func AppendLong(dst []byte, v int64) []byte {
	if v == int64(int8(v)) {
		return append(dst, codeSmallLong, byte(v))
	}
	return binary.BigEndian.AppendUint64(append(dst, codeLong), uint64(v))
}

// AppendFloat appends a float.
func AppendFloat(dst []byte, v float32) []byte {
	return binary.BigEndian.AppendUint32(append(dst, codeFloat), math.Float32bits(v))
}

// AppendDouble appends a double.
func AppendDouble(dst []byte, v float64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, codeDouble), math.Float64bits(v))
}

// AppendDecimal32 appends a decimal32, given by its bits.
func AppendDecimal32(dst []byte, bits uint32) []byte {
	return binary.BigEndian.AppendUint32(append(dst, codeDecimal32), bits)
}

// AppendDecimal64 appends a decimal64, given by its bits.
func AppendDecimal64(dst []byte, bits uint64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, codeDecimal64), bits)
}

// AppendDecimal128 appends a decimal128, given by its bits.
func AppendDecimal128(dst []byte, bits [16]byte) []byte {
	return append(append(dst, codeDecimal128), bits[:]...)
}

// AppendChar appends a char.
func AppendChar(dst []byte, v rune) []byte {
	return binary.BigEndian.AppendUint32(append(dst, codeChar), uint32(v))
}

// AppendTimestamp appends a timestamp: milliseconds since 1970.
func AppendTimestamp(dst []byte, ms int64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, codeTimestamp), uint64(ms))
}

// AppendUUID appends a UUID.
func AppendUUID(dst []byte, v [16]byte) []byte { return append(append(dst, codeUUID), v[:]...) }

// AppendBinary appends a binary.
func AppendBinary[B []byte | string](dst []byte, v B) []byte {
	return append(appendLen(dst, codeBinary8, len(v)), v...)
}

// AppendString appends a string, which must be UTF-8.
func AppendString[B []byte | string](dst []byte, v B) []byte {
	return append(appendLen(dst, codeString8, len(v)), v...)
}

// AppendSymbol appends a symbol, which must be ASCII.
func AppendSymbol[B []byte | string](dst []byte, v B) []byte {
	return append(appendLen(dst, codeSymbol8, len(v)), v...)
}

// AppendBinaryHead appends what goes before n bytes of a binary.
func AppendBinaryHead(dst []byte, n int) []byte { return appendLen(dst, codeBinary8, n) }

// appendLen appends the code of the short form, or that of the long form, and a
// length.
func appendLen(dst []byte, short byte, n int) []byte {
	if n < 256 {
		return append(dst, short, byte(n))
	}
	return binary.BigEndian.AppendUint32(append(dst, short|0x10), uint32(n))
}

// AppendSymbols appends an array of symbols of less than 256 bytes each.
func AppendSymbols(dst []byte, symbols ...string) []byte {
	size := 1 + 1 // count and constructor
	for _, s := range symbols {
		size += 1 + len(s)
	}
	if size < 256 {
		dst = append(dst, codeArray8, byte(size), byte(len(symbols)), codeSymbol8)
	} else {
		dst = binary.BigEndian.AppendUint32(append(dst, codeArray32), uint32(size+3))
		dst = append(binary.BigEndian.AppendUint32(dst, uint32(len(symbols))), codeSymbol8)
	}
	for _, s := range symbols {
		dst = append(append(dst, byte(len(s))), s...)
	}
	return dst
}

// AppendDescriptor appends what goes before a value of the described type with
// this code, in the one form that every peer understands.
func AppendDescriptor(dst []byte, code byte) []byte {
	return append(dst, codeDescribed, codeSmallUlong, code)
}

// BeginList appends the head of a list. Its elements follow, and EndList with
// the same at.
func BeginList(dst []byte) (list []byte, at int) {
	return append(dst, codeList8, 0, 0), len(dst)
}

// EndList fills in the size of the list that begins at, and has count elements.
func EndList(dst []byte, at, count int) []byte { return end(dst, at, count, codeList32) }

// BeginMap appends the head of a map. Its keys and values follow, in turn, and
// EndMap with the same at.
func BeginMap(dst []byte) (m []byte, at int) {
	return append(dst, codeMap8, 0, 0), len(dst)
}

// EndMap fills in the size of the map that begins at; count is that of keys and
// values together.
func EndMap(dst []byte, at, count int) []byte { return end(dst, at, count, codeMap32) }

func end(dst []byte, at, count int, long byte) []byte {
	const head, longHead = 3, 9
	size := len(dst) - at - head
	if size+1 < 256 && count < 256 {
		dst[at+1], dst[at+2] = byte(size+1), byte(count)
		return dst
	}
	dst = append(dst, 0, 0, 0, 0, 0, 0)
	copy(dst[at+longHead:], dst[at+head:at+head+size])
	dst[at] = long
	binary.BigEndian.PutUint32(dst[at+1:], uint32(size+4))
	binary.BigEndian.PutUint32(dst[at+5:], uint32(count))
	return dst
}

func appendNumber(dst []byte, v uint64, n int) []byte {
	for i := n - 1; i >= 0; i-- {
		dst = append(dst, byte(v>>(8*i)))
	}
	return dst
}

func appendHex(dst, b []byte) []byte { return hex.AppendEncode(dst, b) }

// appendUUID appends the usual form of a UUID (RFC 9562, section 4).
func appendUUID(dst, u []byte) []byte {
	for i, n := range [...]int{4, 2, 2, 2, 6} {
		if i > 0 {
			dst = append(dst, '-')
		}
		dst, u = hex.AppendEncode(dst, u[:n]), u[n:]
	}
	return dst
}

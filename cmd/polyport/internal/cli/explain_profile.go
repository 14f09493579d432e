package cli

import (
	"encoding/json"
	"fmt"

	"github.com/polyport/polyport/rpc"
)

// theirs says what an error of an older system means, whose code was another one;
// "" if it is none of those that are known.
func theirs(e *rpc.Error) string {
	var data struct {
		Code int `json:"code"`
	}
	if len(e.Data) == 0 || json.Unmarshal(e.Data, &data) != nil || data.Code == 0 {
		return ""
	}
	switch e.Code {
	case rpc.CodeBusy:
		return fmt.Sprintf("the host has too many tasks under way, which is its code %d; nothing was executed: call again later", data.Code)
	case rpc.CodeShuttingDown:
		return fmt.Sprintf("the host is starting or recovering, which is its code %d; nothing was executed: call again later", data.Code)
	}
	return ""
}

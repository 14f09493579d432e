// Package intercept has interceptors that most programs want: [Recover],
// [Logging], [Authorize] and [Measure]. Each is an [rpc.Interceptor]; the first in
// the options of a server or client is the outermost. A good order is
//
//	Interceptors: []rpc.Interceptor{
//		intercept.Measure(metrics),
//		intercept.Logging(&intercept.LoggingOptions{Logger: log}),
//		intercept.Recover(&intercept.RecoverOptions{Logger: log}),
//		intercept.Authorize(mayCall),
//	}
//
// so that what measures and logs sees how panics and refusals end.
//
// [Flow] hands on, from call to call, the id by which oVirt's programs find in their
// logs what belongs together; [FlowOf] is for a log handler.
package intercept

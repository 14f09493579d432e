package http

// Tolerate is what Compat does to a byte stream.
var Tolerate = tolerate

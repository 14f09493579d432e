// Package sections writes the sections of messages (part 3, section 3.2), from
// the fields of a [transport.Message]: straight into the frame that they travel
// in, without a copy in between.
package sections

package interop_test

var odlChecklist = []odlRow{}

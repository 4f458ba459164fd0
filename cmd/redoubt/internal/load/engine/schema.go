package engine

import _ "embed"

//go:embed schema.json
var schema []byte

// JSONSchema returns the JSON schema of a [Report]. It must not be changed.
func JSONSchema() []byte { return schema }

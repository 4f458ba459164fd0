package source

import (
	"strings"
)

// The lengths of a hash in hexadecimal digits: what hg prints, and all of it.
const (
	minHash  = 12
	fullHash = 40
)

// A Revision is what a user asked for. The zero Revision asks for nothing.
type Revision struct {
	text string
	hash bool
}

// ParseRevision judges a revision: 12 to 40 hexadecimal digits, or a name. field
// is what to call it in an error.
//
// hg gives a meaning to more than that, and to some of it one that no caller
// wants: it "updates" to ffff… and 0000… with exit status 0, and takes a number
// for a position that differs from mirror to mirror.
func ParseRevision(field, text string) (Revision, error) {
	lower := strings.ToLower(text)
	switch {
	case text == "":
		return Revision{}, refuse(field, text, "must not be empty")
	case text[0] == '-' || text[0] == '.':
		return Revision{}, refuse(field, text, `must not begin with "-" or "."`)
	case strings.ContainsFunc(text, func(r rune) bool { return r != '/' && !nameRune(r) }):
		return Revision{}, refuse(field, text, "must be 12 to 40 hexadecimal digits, or a name of letters, digits and ._/+-")
	case lower == "null" || lower == "nullid":
		return Revision{}, refuse(field, text, "must not be the empty revision")
	}
	return parseHash(field, text, lower)
}

func parseHash(field, text, lower string) (Revision, error) {
	hex := strings.Trim(lower, "0123456789abcdef") == ""
	decimal := strings.Trim(lower, "0123456789") == ""
	switch {
	case strings.Trim(lower, "0") == "":
		return Revision{}, refuse(field, text, "must not be all zeros, the empty revision")
	case len(lower) >= minHash && strings.Trim(lower, "f") == "":
		return Revision{}, refuse(field, text, "must not be all f, the working directory")
	case decimal && len(lower) < minHash:
		return Revision{}, refuse(field, text, "must not be a number, which means something else in every repository")
	case hex && len(lower) > fullHash:
		return Revision{}, refuse(field, text, "must have at most 40 hexadecimal digits")
	case hex && len(lower) >= minHash:
		return Revision{text: lower, hash: true}, nil
	default:
		return Revision{text: text}, nil
	}
}

// nameRune is true of what a user, a tag or a branch is made of.
func nameRune(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("._+-", r)
}

// String returns the revision as it was asked for, a hash in lower case.
func (r Revision) String() string { return r.text }

// IsZero reports whether nothing is asked for.
func (r Revision) IsZero() bool { return r.text == "" }

// IsHash reports whether r is a hash or the beginning of one.
func (r Revision) IsHash() bool { return r.hash }

// IsFull reports whether r is a hash with all its digits.
func (r Revision) IsFull() bool { return r.hash && len(r.text) == fullHash }

// Is reports whether node, a full hash, is what r asks for: for a name every
// node is, as only the primary knows.
func (r Revision) Is(node string) bool { return !r.hash || strings.HasPrefix(node, r.text) }

// IsNode reports whether s is a full hash in lower case that is neither the
// empty revision nor the working directory.
func IsNode(s string) bool {
	return len(s) == fullHash && strings.Trim(s, "0123456789abcdef") == "" && strings.Trim(s, "0") != "" && strings.Trim(s, "f") != ""
}

// NullNode is the hash of the empty revision, which an empty repository has for
// its root.
const NullNode = "0000000000000000000000000000000000000000"

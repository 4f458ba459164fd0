package runcmd

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

var login = regexp.MustCompile(`://[^\s/]*@`)

// show returns a command line for messages, which end up in the logs of builds:
// quoted, without the users and passwords of URLs.
func show(args []string) string {
	shown := make([]string, len(args))
	for i, arg := range args {
		shown[i] = login.ReplaceAllString(arg, "://***@")
	}
	return quote(shown)
}

// quote returns a command line that a shell reads as exactly these arguments,
// and that is safe to print on a terminal.
func quote(args []string) string {
	quoted := make([]string, len(args))
	for i, arg := range args {
		quoted[i] = quoteWord(arg)
	}
	return strings.Join(quoted, " ")
}

func quoteWord(s string) string {
	switch {
	case s != "" && !strings.ContainsFunc(s, special):
		return s
	case !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }):
		return quoteBytes(s)
	default:
		return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
	}
}

// special reports whether a shell may give r a meaning of its own.
func special(r rune) bool {
	return !strings.ContainsRune("%+,-./:=@_", r) && (r >= utf8.RuneSelf || !unicode.IsLetter(r) && !unicode.IsDigit(r))
}

// quoteBytes writes what can't be printed in $'…', which POSIX has since 2024
// and shells since long before.
func quoteBytes(s string) string {
	var b strings.Builder
	b.WriteString("$'")
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		switch {
		case r == '\'' || r == '\\':
			b.WriteString(`\` + s[:size])
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == utf8.RuneError && size == 1, !unicode.IsPrint(r):
			// In octal, which ends after three digits whatever follows.
			for i := range size {
				fmt.Fprintf(&b, `\%03o`, s[i])
			}
		default:
			b.WriteString(s[:size])
		}
		s = s[size:]
	}
	b.WriteString("'")
	return b.String()
}

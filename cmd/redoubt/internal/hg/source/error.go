package source

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// An Error says which rule an input breaks. Its text holds no secrets.
type Error struct {
	Field string // what the user set, such as "URL" or "--rev"
	Value string // the value, redacted
	Rule  string // what it must be, such as "must not be empty"
}

// Error names the field, the value and the rule.
func (e *Error) Error() string {
	return fmt.Sprintf("%s is %s, %s", e.Field, quote(e.Value), e.Rule)
}

func refuse(field, value, rule string) error {
	return &Error{Field: field, Value: Redact(value), Rule: rule}
}

// quote quotes s and shortens what nobody would read to its end.
func quote(s string) string {
	const most = 200
	if len(s) > most {
		cut := most
		for cut > 0 && !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = s[:cut] + "…"
	}
	return fmt.Sprintf("%q", s)
}

// Redact hides what may be a secret in a text: of every word with a "://" in
// it, all up to the last "@" and all behind the first "?" or "#". It rather hides too
// much than too little, and is for texts that can't be parsed.
func Redact(text string) string {
	if !strings.Contains(text, "://") {
		return text
	}
	words := splitAfter(text)
	for i, word := range words {
		words[i] = redactWord(word)
	}
	return strings.Join(words, "")
}

func isSpace(r rune) bool { return r == ' ' || r == '\t' || r == '\n' || r == '\r' }

func redactWord(word string) string {
	start := strings.Index(word, "://")
	if start < 0 {
		return word
	}
	head, rest := word[:start+3], word[start+3:]
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		rest = "***@" + rest[at+1:]
	}
	if query := strings.IndexAny(rest, "?#"); query >= 0 {
		tail := strings.TrimLeftFunc(rest[query:], func(r rune) bool { return !isSpace(r) })
		rest = rest[:query+1] + "***" + tail
	}
	return head + rest
}

// splitAfter cuts text behind every white space.
func splitAfter(text string) []string {
	var words []string
	for text != "" {
		cut := strings.IndexFunc(text, isSpace) + 1
		if cut == 0 {
			cut = len(text)
		}
		words = append(words, text[:cut])
		text = text[cut:]
	}
	return words
}

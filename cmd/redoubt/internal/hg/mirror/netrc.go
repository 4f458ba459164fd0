package mirror

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// netrc is the user's .netrc, or what NETRC names, read once.
var netrc = sync.OnceValue(func() string {
	path := os.Getenv("NETRC")
	if path == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return ""
		}
		path = filepath.Join(home, ".netrc")
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return string(text)
})

func netrcLogin(host string) (user, password string, ok bool) { return findLogin(netrc(), host) }

// findLogin looks for a host in the text of a .netrc: words in pairs, in entries
// that "machine NAME" or "default" begin. Macros, which nobody has, end the
// search.
func findLogin(text, host string) (user, password string, ok bool) {
	words := strings.Fields(text)
	matches := false
	for i := 0; i < len(words); i++ {
		word := words[i]
		value := ""
		if i+1 < len(words) {
			value = words[i+1]
		}
		switch word {
		case "machine", "default", "macdef":
			if ok {
				return user, password, true
			}
			matches = word == "default" || word == "machine" && strings.EqualFold(value, host)
			if word == "macdef" {
				return "", "", false
			}
			if word == "default" {
				continue
			}
		case "login":
			if matches {
				user, ok = value, true
			}
		case "password":
			if matches {
				password, ok = value, true
			}
		}
		i++
	}
	return user, password, ok
}

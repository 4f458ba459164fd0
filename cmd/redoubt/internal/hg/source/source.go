package source

import (
	"net/url"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"unicode"
)

// A Kind is how a source is reached.
type Kind int

// The kinds.
const (
	HTTP  Kind = iota // http and https
	SSH               // ssh, by way of hg
	Local             // a directory or a file of this machine
)

// A Source is a repository, or a file to download, that has passed all rules.
// The zero Source is none.
type Source struct {
	Kind Kind

	scheme   string // http, https or ssh
	host     string // with the port, if it was given
	path     string // percent-encoded, or the path of a Local
	query    string // of files only
	user     string
	password string
	login    bool // user and password were given
}

// Repository judges the location of a repository: an http, https or ssh URL, a
// file URL, or a path. field is what to call it in an error.
func Repository(field, text string) (Source, error) {
	s, err := parse(field, text)
	if err != nil {
		return Source{}, err
	}
	if s.query != "" {
		return Source{}, refuse(field, text, "must not have a query (?…)")
	}
	return s, nil
}

// File judges the location of a file to download: an http or https URL, a file
// URL, or a path. A query is allowed, as signed URLs have one, and is secret.
func File(field, text string) (Source, error) {
	s, err := parse(field, text)
	if err != nil {
		return Source{}, err
	}
	if s.Kind == SSH {
		return Source{}, refuse(field, text, "must be http, https or a file")
	}
	return s, nil
}

func parse(field, text string) (Source, error) {
	switch {
	case text == "":
		return Source{}, refuse(field, text, "must not be empty")
	case strings.HasPrefix(text, "-"):
		return Source{}, refuse(field, text, `must not begin with "-"`)
	case strings.IndexFunc(text, unprintable) >= 0:
		return Source{}, refuse(field, text, "must not have control characters")
	case strings.Contains(text, "#"):
		return Source{}, refuse(field, text, "must not have a fragment (#…); use --rev or --branch")
	}
	scheme, isURL := schemeOf(text)
	if !isURL {
		return local(field, text)
	}
	switch scheme {
	case "http", "https", "ssh":
		return remote(field, text)
	case "file":
		return fileURL(field, text)
	default:
		return Source{}, refuse(field, text, "must be http, https, ssh, file or a path")
	}
}

// unprintable is true of controls, and of the characters that make a terminal
// or a reader see another text than there is.
func unprintable(r rune) bool {
	return unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp) || r == unicode.ReplacementChar
}

// schemeOf returns what stands before the first colon, in lower case, if hg
// could take it for a scheme: "bundle:x" has one, "./a:b" and "/a:b" don't.
func schemeOf(text string) (string, bool) {
	before, _, found := strings.Cut(text, ":")
	if !found || strings.ContainsAny(before, "/\\") {
		return "", false
	}
	return strings.ToLower(before), true
}

func local(field, text string) (Source, error) {
	abs, err := filepath.Abs(text)
	if err != nil {
		return Source{}, refuse(field, text, "must be a path from a working directory that exists")
	}
	return Source{Kind: Local, path: abs}, nil
}

func fileURL(field, text string) (Source, error) {
	u, err := url.Parse(text)
	if err != nil || u.Opaque != "" {
		return Source{}, refuse(field, text, "must be a file URL such as file:///srv/repo")
	}
	if u.Host != "" && u.Host != "localhost" || u.User != nil {
		return Source{}, refuse(field, text, "must not name a host")
	}
	if !strings.HasPrefix(u.Path, "/") || strings.IndexFunc(u.Path, unprintable) >= 0 {
		return Source{}, refuse(field, text, "must have an absolute path without control characters")
	}
	return Source{Kind: Local, path: filepath.Clean(u.Path)}, nil
}

func remote(field, text string) (Source, error) {
	u, err := url.Parse(text)
	if err != nil || u.Opaque != "" {
		return Source{}, refuse(field, text, "must be a well-formed URL")
	}
	if rule := hostRule(u); rule != "" {
		return Source{}, refuse(field, text, rule)
	}
	s := Source{
		scheme: strings.ToLower(u.Scheme),
		host:   strings.ToLower(u.Host),
		path:   strings.TrimRight(u.EscapedPath(), "/"),
		query:  u.RawQuery,
	}
	if strings.IndexFunc(u.Path, unprintable) >= 0 {
		return Source{}, refuse(field, text, "must not have control characters")
	}
	if u.User != nil {
		s.login = true
		s.user = u.User.Username()
		s.password, _ = u.User.Password()
	}
	if s.scheme == "ssh" {
		return sshSource(field, text, s)
	}
	return s, nil
}

// hostRule returns the rule that u's host breaks, "" if none.
func hostRule(u *url.URL) string {
	name, port := u.Hostname(), u.Port()
	switch {
	case name == "":
		return "must name a host"
	case strings.HasPrefix(name, "-"):
		return `must not have a host that begins with "-"`
	case strings.ContainsFunc(name, func(r rune) bool { return unprintable(r) || strings.ContainsRune(" \"'`$;&|<>(){}\\*?!,%", r) }):
		return "must have a host of letters, digits, dots and hyphens"
	case strings.HasSuffix(u.Host, ":"):
		return "must have a port after the colon"
	}
	if port != "" {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			return "must have a port from 1 to 65535"
		}
	}
	return ""
}

// sshSource judges what only matters to ssh, which hg runs through a shell.
func sshSource(field, text string, s Source) (Source, error) {
	s.Kind = SSH
	switch {
	case s.password != "":
		return Source{}, refuse(field, text, "must not have a password; ssh has keys")
	case strings.HasPrefix(s.user, "-"):
		return Source{}, refuse(field, text, `must not have a user that begins with "-"`)
	case strings.ContainsFunc(s.user, func(r rune) bool { return !nameRune(r) }):
		return Source{}, refuse(field, text, "must have a user of letters, digits and ._+-")
	}
	return s, nil
}

// IsZero reports whether s is no source at all.
func (s Source) IsZero() bool { return s.Kind == HTTP && s.host == "" }

// String returns the source as it may be shown and written down: no password,
// no token, no query.
func (s Source) String() string {
	switch {
	case s.IsZero():
		return ""
	case s.Kind == Local:
		return s.path
	case s.Kind == SSH && s.user != "":
		return "ssh://" + s.user + "@" + s.host + s.path
	case s.query != "":
		return s.scheme + "://" + s.host + s.path + "?***"
	default:
		return s.scheme + "://" + s.host + s.path
	}
}

// Operand returns what hg is to be given: the source without any password.
func (s Source) Operand() string { return s.String() }

// URL returns the address of an HTTP source, without user and password, with
// the query if there is one.
func (s Source) URL() *url.URL {
	decoded, err := url.PathUnescape(s.path)
	if err != nil {
		decoded = s.path // parse has let no such path pass
	}
	return &url.URL{Scheme: s.scheme, Host: s.host, Path: decoded, RawPath: s.path, RawQuery: s.query}
}

// Login returns the user and the password that stood in the URL.
func (s Source) Login() (user, password string, given bool) {
	return s.user, s.password, s.login
}

// Hostname returns the host without the port.
func (s Source) Hostname() string {
	u := url.URL{Host: s.host}
	return u.Hostname()
}

// Endpoint returns what all sources of one server share: scheme, host and port.
// Breakers are kept by it.
func (s Source) Endpoint() string {
	if s.Kind == Local {
		return "file://" + s.path
	}
	u := url.URL{Host: s.host}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443", "ssh": "22"}[s.scheme]
	}
	return s.scheme + "://" + u.Hostname() + ":" + port
}

// Path returns the path of a Local source.
func (s Source) Path() string { return s.path }

// Base returns the last element of the path, which names a destination that was
// not named.
func (s Source) Base() string {
	decoded, err := url.PathUnescape(s.path)
	if err != nil || s.Kind == Local {
		decoded = s.path
	}
	base := path.Base(decoded)
	if base == "." || base == "/" || base == ".." {
		return ""
	}
	return base
}

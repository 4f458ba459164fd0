package ops

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"io"
	"net/http"
	"strings"
)

//go:embed assets/page.html
var markup string

//go:embed assets/page.css
var style string

//go:embed assets/page.js
var script string

// A page is all of the page. It is the same for everybody: what it shows it asks
// for.
type page struct {
	html   string
	policy string // for the browser
}

func newPage() page {
	return page{
		html: strings.NewReplacer("/* page.css */", style, "/* page.js */", script).Replace(markup),

		// It may run and be styled by what it has in it, ask its own server,
		// and nothing else. No text can become markup.
		policy: strings.Join([]string{
			"default-src 'none'",
			"script-src " + hash(script),
			"style-src " + hash(style),
			"connect-src 'self'",
			"img-src data:",
			"base-uri 'none'",
			"form-action 'none'",
			"frame-ancestors 'none'",
			"require-trusted-types-for 'script'",
			"trusted-types 'none'",
		}, "; "),
	}
}

func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

func (p page) serve(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", p.policy)
	_, _ = io.WriteString(w, p.html) // If the client is gone, so is whom to tell.
}

package classify

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"unicode/utf8"
)

// fixtures holds an entry at least for each row of the failure table that has a
// text on stderr, with the messages of Mercurial 6.3.2 that the table quotes; the
// lines around them are shortened, and names and hashes made up. The rows
// without a text hang or succeed, and are for the clocks and the verification.
var fixtures = []struct {
	row    string
	phase  Phase
	stderr string
	want   Reaction
}{
	{row: "01 server down", stderr: "abort: error: Connection refused\n", want: Retry},
	{row: "02 DNS", stderr: "abort: error: Name or service not known\n", want: Retry},
	{row: "02 DNS, for now", stderr: "abort: error: Temporary failure in name resolution\n", want: Retry},
	{row: "04 http.timeout", stderr: "abort: error: timed out\n", want: Retry},
	{row: "06 503", stderr: "abort: HTTP Error 503: Service Unavailable\n", want: Wait},
	{row: "06 502", stderr: "abort: HTTP Error 502: Bad Gateway\n", want: Retry},
	{row: "06 500", stderr: "abort: HTTP Error 500: Internal Server Error\n", want: Retry},
	{row: "07 429", stderr: "abort: HTTP Error 429: Too Many Requests\n", want: Wait},
	{row: "07 408", stderr: "abort: HTTP Error 408: Request Timeout\n", want: Wait},
	{row: "08 404", stderr: "abort: HTTP Error 404: Not Found\n", want: Next},
	{row: "08 403", stderr: "abort: HTTP Error 403: Forbidden\n", want: Next},
	{row: "08 410", stderr: "abort: HTTP Error 410: Gone\n", want: Next},
	{row: "08 400", stderr: "abort: HTTP Error 400: Bad Request\n", want: Next},
	{row: "09 401", stderr: "abort: http authorization required for http://127.0.0.1:8000/\n", want: Next},
	{row: "10 407", stderr: "abort: HTTP Error 407: Proxy Authentication Required\n", want: Environment},
	{row: "10 CONNECT 407", stderr: "abort: error: Tunnel connection failed: 407 Proxy Authentication Required\n", want: Environment},
	{row: "10 CONNECT 502", stderr: "abort: error: Tunnel connection failed: 502 Bad Gateway\n", want: Retry},
	{row: "11 captive portal", stderr: "abort: 'http://h/r' does not appear to be an hg repository:\n---%<--- (text/html)\n<html>log in</html>\n---%<---\n", want: Next},
	{row: "12 truncated answer", stderr: "abort: 'http://h/r' does not appear to be an hg repository:\n---%<--- (no content-type)\n\n---%<---\n", want: Retry},
	{row: "13 not HTTP", stderr: "abort: error: bad HTTP status line: SSH-2.0-OpenSSH_9.2\n", want: Next},
	{row: "14 no answer", stderr: "abort: error: bad HTTP status line: ''\n", want: Retry},
	{row: "15 RST", stderr: "abort: error: Connection reset by peer\n", want: Retry},
	{row: "16 RST in the body", stderr: "transaction abort!\nrollback completed\nabort: Connection reset by peer\n", want: Retry},
	{row: "17 FIN in the body", stderr: "transaction abort!\nrollback completed\nabort: HTTP request error (incomplete response; expected 104857 bytes got 5000)\n(this may be an intermittent network failure; if the error persists, consider contacting the network or server operator)\n", want: Retry},
	{row: "17 FIN in the body, no length", stderr: "transaction abort!\nrollback completed\nabort: HTTP request error (incomplete response)\n", want: Retry},
	{row: "18 FIN in a part", stderr: "abort: stream ended unexpectedly  (got 20 bytes, expected 4096)\n", want: Retry},
	{row: "19 FIN in capabilities", stderr: "abort: HTTP Error 400: method not found\n", want: Retry},
	{row: "20 stall", stderr: "** Unknown exception encountered with possibly-broken third-party extension\nTraceback (most recent call last):\n  File \"/usr/bin/hg\", line 59\nTimeoutError: timed out\n", want: Retry},
	{row: "23 flipped byte", stderr: "transaction abort!\nrollback completed\nabort: integrity check failed on data/a.txt:8f4c7ce0a3de\n", want: Retry},
	{row: "24 flipped byte in zstd", stderr: "Traceback (most recent call last):\nzstd.ZstdError: zstd decompress error: Corrupted block detected\n", want: Retry},
	{row: "25 TLS record", stderr: "abort: error: [SSL: DECRYPTION_FAILED_OR_BAD_RECORD_MAC] decryption failed or bad record mac (_ssl.c:2576)\n", want: Retry},
	{row: "25 TLS cut", stderr: "abort: error: TLS/SSL connection has been closed (EOF) (_ssl.c:997)\n", want: Retry},
	{row: "27 proxy down", stderr: "abort: error: Connection refused\n", want: Retry},
	{row: "28 cold server", stderr: "abort: module 'mercurial.context' has no attribute 'basectx'\n", want: Retry},
	{row: "29 untrusted", stderr: "(the full certificate chain may not be available locally; see \"hg help debugssl\")\nabort: error: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate (_ssl.c:992)\n", want: Security},
	{row: "30 wrong name", stderr: "abort: 127.0.0.1 certificate error: certificate is for example.org\n", want: Security},
	{row: "30 fingerprint", stderr: "abort: certificate for 127.0.0.1 has unexpected fingerprint 12:34\n", want: Security},
	{row: "31 plain port", stderr: "abort: error: [SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:992)\n", want: Next},
	{row: "32 CA file", stderr: "abort: could not find web.cacerts: /nowhere\n", want: Environment},
	{row: "33 ssh key", stderr: "remote: hg@h: Permission denied (publickey).\nabort: no suitable response from remote hg\n", want: Next},
	{row: "33 ssh host key", stderr: "remote: Host key verification failed.\nabort: no suitable response from remote hg\n", want: Security},
	{row: "33 ssh timeout", stderr: "remote: ssh: connect to host h port 22: Connection timed out\nabort: no suitable response from remote hg\n", want: Retry},
	{row: "33 ssh refused", stderr: "remote: ssh: connect to host h port 22: Connection refused\nabort: no suitable response from remote hg\n", want: Retry},
	{row: "33 ssh closed", stderr: "remote: Connection closed by 127.0.0.1 port 22\nabort: no suitable response from remote hg\n", want: Retry},
	{row: "33 ssh repository", stderr: "remote: abort: repository nope not found\nabort: no suitable response from remote hg\n", want: Next},
	{row: "33 ssh, anything", stderr: "abort: no suitable response from remote hg\n", want: Next},
	{row: "36 stale mirror", stderr: "abort: unknown revision '8f4c7ce0a3de8f4c7ce0a3de8f4c7ce0a3de8f4c'\n", want: Next},
	{row: "40 unknown branch", stderr: "abort: unknown branch 'nope'\n", want: Input},
	{row: "41 unknown locally", phase: Work, stderr: "abort: unknown revision '8f4c7ce0a3de'\n", want: Input},
	{row: "43 unrelated", stderr: "searching for changes\nabort: repository is unrelated\n", want: Next},
	{row: "47 bundle 404", stderr: "abort: HTTP Error 404: Not Found\n", want: Next},
	{row: "48 truncated bundle", stderr: "abort: stream ended unexpectedly (got 3 bytes, expected 4)\n", want: Retry},
	{row: "49 corrupt bundle", stderr: "abort: integrity check failed on 00changelog:3\n", want: Retry},
	{row: "50 HTML", stderr: "abort: x.hg: not a Mercurial bundle\n", want: Next},
	{row: "51 stream bundle", stderr: "abort: packed bundles cannot be applied with \"hg unbundle\"\n(use \"hg debugapplystreamclonebundle\")\n", want: Next},
	{row: "52 partial bundle", stderr: "abort: 00changelog@8f4c7ce0: unknown parent\n", want: Retry},
	{row: "56 killed in pull", stderr: "abort: abandoned transaction found\n(run 'hg recover' to clean up transaction)\n", want: Recover},
	{row: "63 lock of another host", stderr: "waiting for lock on repository p held by process '123' on host 'h/f0000000'\nabort: repository p: timed out waiting for lock held by 'h/f0000000:123'\n", want: Locked},
	{row: "64 lock of the living", phase: Work, stderr: "abort: working directory of p: timed out waiting for lock held by 'h:77'\n", want: Locked},
	{row: "67 not empty", stderr: "abort: destination 'd' is not empty\n", want: Input},
	{row: "67 not found", stderr: "abort: repository d not found\n", want: Next},
	{row: "69 conflicts", phase: Work, stderr: "warning: conflicts while merging a.txt! (edit, then use 'hg resolve --mark')\n", want: Dirty},
	{row: "70 untracked in the way", phase: Work, stderr: "a.txt: untracked file differs\nabort: untracked files in working directory differ from files in requested revision\n", want: Dirty},
	{row: "72 file became directory", phase: Work, stderr: "abort: Directory not empty: '/d/a.txt'\n", want: Rebuild},
	{row: "74 changelog flipped", phase: Work, stderr: "abort: integrity check failed on 00changelog:17\n", want: Rebuild},
	{row: "74 changelog flipped, compressed", phase: Work, stderr: "abort: revlog decompress error: zstd decompressor error: Corrupted block detected\n", want: Rebuild},
	{row: "74 the same in a pull", stderr: "abort: revlog decompress error: zstd decompressor error: Corrupted block detected\n", want: Retry},
	{row: "75 manifest truncated", phase: Work, stderr: "abort: index 00manifest is corrupted\n", want: Rebuild},
	{row: "75 manifest truncated, in a pull", stderr: "abort: index 00manifest is corrupted\n", want: Rebuild},
	{row: "76 filelog lost", phase: Work, stderr: "abort: data/a.txt@8f4c7ce0a3de: no match found\n", want: Rebuild},
	{row: "76 filelog, parent", phase: Work, stderr: "abort: data/a.txt@8f4c7ce0a3de: unknown parent\n", want: Rebuild},
	{row: "77 requires lost", phase: Work, stderr: "abort: unknown version (65535) in revlog 00changelog\n", want: Rebuild},
	{row: "77 store lost", phase: Work, stderr: "abort: No such file or directory: '/d/.hg/store/requires'\n", want: Rebuild},
	{row: "77 newer hg", phase: Work, stderr: "abort: repository requires features unknown to this Mercurial: exp-x\n", want: Input},
	{row: "78 dirstate", phase: Work, stderr: "abort: working directory state appears damaged!\n", want: Rebuild},
	{row: "78 dirstate, longer", phase: Work, stderr: "Traceback (most recent call last):\nValueError: overflow in dirstate\n", want: Rebuild},
	{row: "80 share source gone", phase: Work, stderr: "abort: .hg/sharedpath points to nonexistent directory /s/.hg\n", want: Rebuild},
	{row: "80 share source emptied", phase: Work, stderr: "abort: share source does not support share-safe requirement\n", want: Rebuild},
	{row: "83 hgrc", phase: Work, stderr: "config error at /d/.hg/hgrc:1: unexpected leading whitespace: x\n", want: Environment},
	{row: "85 not ours", phase: Work, stderr: "abort: could not lock working directory of /d: Permission denied\n", want: Environment},
	{row: "87 disk full in clone", stderr: "Exception ignored in: <function transaction.__del__>\nabort: No space left on device\n", want: Environment},
	{row: "90 read-only", stderr: "abort: could not lock repository /d: Read-only file system\n", want: Environment},
	{row: "90 rollback failed", stderr: "transaction abort!\nrollback failed - please run hg recover\n", want: Recover},
	{row: "91 cwd", phase: Work, stderr: "abort: error getting current working directory: No such file or directory\n", want: Environment},
	{row: "91 Python", phase: Work, stderr: "Fatal Python error: init_fs_encoding: failed to get the Python codec\n", want: Environment},
	{row: "a text nobody knows", stderr: "abort: the moon is in the way\n(hint)\n", want: Unknown},
	{row: "nothing at all", want: Unknown},
}

func TestStderr(t *testing.T) {
	for _, f := range fixtures {
		t.Run(f.row, func(t *testing.T) {
			v := Stderr(f.stderr, f.phase)
			if v.Reaction != f.want {
				t.Errorf("reaction %v, want %v", v.Reaction, f.want)
			}
			if v.Source != (f.want == Retry || f.want == Wait) {
				t.Errorf("the source is at fault: %v, for %v", v.Source, f.want)
			}
			if f.stderr != "" && (v.Message == "" || strings.Contains(v.Message, "\n")) {
				t.Errorf("message %q, want one line", v.Message)
			}
		})
	}
}

func TestTransport(t *testing.T) {
	tests := []struct {
		err  error
		want Reaction
	}{
		{syscall.ECONNREFUSED, Retry},
		{&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, Retry},
		{&net.OpError{Op: "proxyconnect", Err: syscall.ECONNREFUSED}, Environment},
		{&net.DNSError{Err: "no such host", IsNotFound: true}, Retry},
		{io.EOF, Retry},
		{fmt.Errorf("reading: %w", io.ErrUnexpectedEOF), Retry},
		{context.DeadlineExceeded, Retry},
		{&tls.CertificateVerificationError{Err: errors.New("x")}, Security},
		{&url.Error{Op: "Get", Err: x509.UnknownAuthorityError{}}, Security},
		{errors.New("http: server gave HTTP response to HTTPS client"), Next},
		{errors.New(`net/http: malformed HTTP status code "x"`), Next},
		{fmt.Errorf("write: %w", syscall.ENOSPC), Environment},
		{errors.New("what?"), Unknown},
	}
	for _, tt := range tests {
		if v := Transport(tt.err); v.Reaction != tt.want {
			t.Errorf("%v: %v, want %v", tt.err, v.Reaction, tt.want)
		}
	}
}

func TestStatus(t *testing.T) {
	for code, want := range map[int]Reaction{
		400: Next, 401: Next, 403: Next, 404: Next, 407: Environment, 408: Wait, 410: Next, 429: Wait,
		500: Retry, 502: Retry, 503: Wait, 504: Retry, 599: Retry,
	} {
		if v := Status(code); v.Reaction != want {
			t.Errorf("%d: %v, want %v", code, v.Reaction, want)
		}
	}
}

func FuzzStderr(f *testing.F) {
	for _, fixture := range fixtures {
		f.Add(fixture.stderr, int(fixture.phase))
	}
	f.Fuzz(func(t *testing.T, text string, phase int) {
		v := Stderr(text, Phase(phase))
		if strings.Contains(v.Message, "\n") {
			t.Errorf("message has several lines: %q", v.Message)
		}
		if utf8.ValidString(text) && !strings.Contains(text, v.Message) {
			t.Errorf("message %q is not of the text", v.Message)
		}
		if text == "" && v.Reaction != Unknown {
			t.Errorf("nothing means %v", v.Reaction)
		}
	})
}

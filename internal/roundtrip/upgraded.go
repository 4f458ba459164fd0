package roundtrip

import "io"

// An upgraded is the body after 101 or CONNECT: the caller's own connection.
type upgraded struct {
	io.ReadWriteCloser

	closed func()
}

func (u upgraded) Close() error {
	err := u.ReadWriteCloser.Close()
	u.closed()
	return err
}

// A halfCloser is an upgraded connection that can end its own direction alone.
type halfCloser struct {
	upgraded
	closeWriter
}

type closeWriter interface{ CloseWrite() error }

// Upgraded returns conn such that closed is called after each Close.
func Upgraded(conn io.ReadWriteCloser, closed func()) io.ReadWriteCloser {
	u := upgraded{conn, closed}
	if half, ok := conn.(closeWriter); ok {
		return halfCloser{u, half}
	}
	return u
}

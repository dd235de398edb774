// Says what Go's net/http makes of answers: the measure of kubenurse_otel/probe/answer.py.
//
// Reads one answer a line from stdin, in hexadecimal, after the request's method: "GET 485454502f...".
// The connection is closed after the answer's last byte. Writes one line for each: "refused", or the
// status, how many bytes of body came, and "closed" where net/http closes the connection.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// replay is a connection that answers once a request was written.
type replay struct {
	answer  *bytes.Reader
	written chan struct{}
	asked   bool
}

func (r *replay) Write(p []byte) (int, error) {
	if !r.asked {
		r.asked = true
		close(r.written)
	}
	return len(p), nil
}

func (r *replay) Read(p []byte) (int, error) {
	<-r.written
	return r.answer.Read(p)
}

func (r *replay) Close() error                     { return nil }
func (r *replay) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (r *replay) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (r *replay) SetDeadline(time.Time) error      { return nil }
func (r *replay) SetReadDeadline(time.Time) error  { return nil }
func (r *replay) SetWriteDeadline(time.Time) error { return nil }

func verdict(method string, answer []byte) string {
	transport := &http.Transport{
		DisableCompression: true,
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			return &replay{answer: bytes.NewReader(answer), written: make(chan struct{})}, nil
		},
	}
	request, _ := http.NewRequest(method, "http://far.end/", nil)
	response, err := transport.RoundTrip(request)
	if err != nil {
		return "refused"
	}
	defer response.Body.Close()
	size := int64(0)
	if response.StatusCode != http.StatusSwitchingProtocols {
		if size, err = io.Copy(io.Discard, response.Body); err != nil {
			return "refused"
		}
	}
	closed := ""
	if response.Close {
		closed = " closed"
	}
	return fmt.Sprintf("%d %d%s", response.StatusCode, size, closed)
}

func main() {
	log.SetOutput(io.Discard) // "Unsolicited response received on idle HTTP channel"
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 1<<20)
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for in.Scan() {
		method, digits, _ := strings.Cut(in.Text(), " ")
		answer, err := hex.DecodeString(digits)
		if err != nil {
			panic(err)
		}
		fmt.Fprintln(out, verdict(method, answer))
	}
}

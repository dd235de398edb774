// Reads lines "CA-FILE HOST PORT"; says for each whether Go's client takes the server's certificate.
package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
)

func ask(caFile, host, port string) error {
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return fmt.Errorf("no certificates in the file")
	}
	raw, err := net.Dial("tcp", "127.0.0.1:"+port)
	if err != nil {
		return err
	}
	defer raw.Close()
	return tls.Client(raw, &tls.Config{RootCAs: pool, ServerName: host}).Handshake()
}

func main() {
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		var caFile, host, port string
		fmt.Sscan(lines.Text(), &caFile, &host, &port)
		if err := ask(caFile, host, port); err != nil {
			fmt.Println(err)
		} else {
			fmt.Println("ok")
		}
	}
}

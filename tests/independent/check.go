// Does Go's own transparency log code (golang.org/x/mod/sumdb, which guards every Go build) agree with Akashi's proof?
//
//	check-go VKEY entry.tlog-proof entry.json [prev.json]
//
// note.Open checks the log's signature, tlog.CheckRecord the inclusion, tlog.RecordHash gives both leaf hashes. Reading
// the two text forms around them (c2sp.org/tlog-proof, the checkpoint's three lines) is all that is written here;
// tlog.ParseTree accepts the checksum database's own name alone.
package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "FAIL:", err)
		os.Exit(1)
	}
}

func fail(format string, values ...any) { must(fmt.Errorf(format, values...)) }

func read(path string) []byte {
	data, err := os.ReadFile(path)
	must(err)
	return data
}

func main() {
	vkey, proof, entry := os.Args[1], string(read(os.Args[2])), read(os.Args[3])

	head, checkpoint, found := strings.Cut(proof, "\n\n")
	lines := strings.Split(head, "\n")
	if !found || len(lines) < 2 || lines[0] != "c2sp.org/tlog-proof@v1" {
		fail("not a tlog-proof")
	}
	lines = lines[1:]
	if strings.HasPrefix(lines[0], "extra ") {
		lines = lines[1:]
	}
	index, err := strconv.ParseInt(strings.TrimPrefix(lines[0], "index "), 10, 64)
	must(err)
	var path tlog.RecordProof
	for _, line := range lines[1:] {
		hash, err := tlog.ParseHash(line)
		must(err)
		path = append(path, hash)
	}

	verifier, err := note.NewVerifier(vkey)
	must(err)
	opened, err := note.Open([]byte(checkpoint), note.VerifierList(verifier))
	must(err)
	body := strings.Split(opened.Text, "\n")
	if len(body) != 4 || body[0] != verifier.Name() {
		fail("not a checkpoint of %s", verifier.Name())
	}
	size, err := strconv.ParseInt(body[1], 10, 64)
	must(err)
	root, err := tlog.ParseHash(body[2])
	must(err)

	must(tlog.CheckRecord(path, size, root, index, tlog.RecordHash(entry)))

	var said struct {
		Index int64
		Prev  string
	}
	must(json.Unmarshal(entry, &said))
	before := strings.Repeat("0", 64)
	if index > 0 {
		hash := tlog.RecordHash(read(os.Args[4]))
		before = hex.EncodeToString(hash[:])
	}
	if said.Index != index || said.Prev != before {
		fail("chain: entry %d does not name that entry before it", index)
	}
	fmt.Printf("OK entry %d of %d\n", index, size)
}

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// A foreign is a server that this program has not started, as Linux shows it. It is
// for RabbitMQ, which cannot be asked for its processor time as ours can.
type foreign struct{ pid int }

// listener returns the process that listens at a TCP port of this machine.
func listener(port string) (foreign, error) {
	inode, err := listeningSocket(port)
	if err != nil {
		return foreign{}, err
	}
	links, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return foreign{}, err
	}
	for _, link := range links {
		if to, err := os.Readlink(link); err == nil && to == "socket:["+inode+"]" {
			pid, err := strconv.Atoi(strings.Split(link, "/")[2])
			return foreign{pid}, err
		}
	}
	return foreign{}, fmt.Errorf("no process is to be seen that listens at port %s", port)
}

// listeningSocket returns the inode of the socket that listens at a TCP port.
func listeningSocket(port string) (string, error) {
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return "", err
	}
	const address, state, inode, listens = 1, 3, 9, "0A"
	for _, file := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		for line := range strings.Lines(string(text)) {
			f := strings.Fields(line)
			if len(f) > inode && f[state] == listens && strings.HasSuffix(f[address], fmt.Sprintf(":%04X", n)) {
				return f[inode], nil
			}
		}
	}
	return "", fmt.Errorf("nobody listens at port %s", port)
}

// tick is Linux's USER_HZ on all that Go runs on.
const tick = time.Second / 100

// cpu is the processor time that the process and all below it have used.
func (p foreign) cpu() (time.Duration, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	used, above := map[int]int{}, map[int]int{} // by pid
	for _, file := range stats {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended meanwhile
		}
		pid, _ := strconv.Atoi(strings.Split(file, "/")[2])
		_, rest, _ := strings.Cut(string(text), ") ") // after its name
		f := strings.Fields(rest)
		const parent, user, children = 1, 11, 14
		if len(f) <= children {
			continue
		}
		above[pid], _ = strconv.Atoi(f[parent])
		for _, ticks := range f[user : children+1] { // of its own and of children that have ended
			n, _ := strconv.Atoi(ticks)
			used[pid] += n
		}
	}
	if _, there := used[p.pid]; !there {
		return 0, fmt.Errorf("process %d has ended", p.pid)
	}
	sum := 0
	for pid, n := range used {
		for at := pid; at > 0; at = above[at] {
			if at == p.pid {
				sum += n
				break
			}
		}
	}
	return time.Duration(sum) * tick, nil
}

package app

import (
	"context"
	"time"
)

// clockTopic is published once a second while somebody subscribes to it.
const clockTopic = "clock"

type clockEvent struct {
	// Time is as in RFC 3339.
	Time string `json:"time"`
}

// clock tells the time until the server stops or fails.
func (s *Server) clock() {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case now := <-ticker.C:
			if _, err := s.p.RPC.Publish(context.Background(), clockTopic, clockEvent{now.Format(time.RFC3339)}); err != nil {
				s.p.Log.Warn("the clock cannot be published", "err", err)
			}
		case <-s.done:
			return
		}
	}
}

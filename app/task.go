package app

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"github.com/polyport/polyport/rpc"
)

// taskSteps is how often a task says how far it is, its beginning not counted.
const taskSteps = 10

type taskParams struct {
	MS int64 `json:"ms"`
	// ID names the topic of the progress. A caller who does not choose it finds
	// it in the events of task.*.
	ID string `json:"id,omitempty"`
}

// A taskEvent is the progress of a task, on the topic task.ID.
type taskEvent struct {
	ID   string `json:"id"`
	Done int64  `json:"done_ms"`
	Of   int64  `json:"ms"`
}

// runTask takes some time and says how far it is.
func runTask(ctx context.Context, p taskParams) (int64, error) {
	if p.MS < 0 || p.MS > maxSleep.Milliseconds() {
		return 0, invalid(fmt.Sprintf(`"ms" must be a number of milliseconds from 0 to %d`, maxSleep.Milliseconds()))
	}
	if p.ID == "" {
		p.ID = rand.Text()
	}
	if strings.Contains(p.ID, ".") {
		return 0, invalid(`"id" must be one word, without dots`)
	}
	of := p.MS
	if err := progress(ctx, p.ID, 0, of); err != nil {
		return 0, invalid(fmt.Sprintf(`"id" cannot be a part of a topic: %v`, err))
	}
	began := time.Now()
	for step := range int64(taskSteps) {
		done := of * (step + 1) / taskSteps
		timer := time.NewTimer(time.Until(began.Add(time.Duration(done) * time.Millisecond)))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return 0, ctx.Err()
		}
		if err := progress(ctx, p.ID, done, of); err != nil {
			return 0, err
		}
	}
	return of, nil
}

func progress(ctx context.Context, id string, done, of int64) error {
	r, ok := rpc.FromContext(ctx)
	if !ok {
		return nil
	}
	_, err := r.Publish(ctx, "task."+id, taskEvent{id, done, of})
	return err
}

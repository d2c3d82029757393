package idem

import "time"

// The queue is a binary heap of a shard's entries by the end that it knows of them. An
// entry whose end moves away stays where it is and is put right when it comes up: a
// completion, which only prolongs, costs nothing here.

func (sh *shard) push(e *entry) {
	e.queued = e.end
	e.index = len(sh.queue)
	sh.queue = append(sh.queue, e)
	sh.up(e.index)
}

// drop removes the entry at i.
func (sh *shard) drop(i int) {
	last := len(sh.queue) - 1
	if i != last {
		sh.swap(i, last)
	}
	sh.queue[last] = nil
	sh.queue = sh.queue[:last]
	if i != last {
		sh.down(i)
		sh.up(i)
	}
}

// setEnd moves the end of e, earlier or later.
func (sh *shard) setEnd(e *entry, end time.Duration) {
	e.end = end
	if end < e.queued {
		sh.requeue(e)
	}
}

// requeue puts e where its end belongs.
func (sh *shard) requeue(e *entry) {
	e.queued = e.end
	sh.down(e.index)
	sh.up(e.index)
}

func (sh *shard) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if sh.queue[parent].queued <= sh.queue[i].queued {
			return
		}
		sh.swap(i, parent)
		i = parent
	}
}

func (sh *shard) down(i int) {
	for {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(sh.queue); child++ {
			if sh.queue[child].queued < sh.queue[least].queued {
				least = child
			}
		}
		if least == i {
			return
		}
		sh.swap(i, least)
		i = least
	}
}

func (sh *shard) swap(i, j int) {
	q := sh.queue
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

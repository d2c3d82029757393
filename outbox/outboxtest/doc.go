// Package outboxtest checks stores and publishers, and holds a store in memory.
package outboxtest

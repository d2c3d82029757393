// Package service wires one replica of the monitor from its parts: targets and sinks from
// the configuration, the database, the unit of work, the relay and the page.
package service

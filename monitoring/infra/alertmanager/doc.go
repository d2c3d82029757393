// Package alertmanager keeps Prometheus' Alertmanager informed, over its API v2.
//
// Alertmanager is a sink of state, not of events: an alert is what its labels say, whoever
// posts it and however often, and one that is not posted again resolves by itself. So
// two things are needed, and both are safe to repeat and to run in every replica:
//
//   - [Publisher] posts transitions, which come through the outbox: an alert fires or
//     resolves there as soon as it does here, or as soon as the instance is back;
//   - [Refresher] posts again and again what fires, before its time runs out there, and
//     what was resolved lately. It also tells an instance that has lost its memory.
//
// Alertmanager's instances exchange notifications but not alerts, and must not be balanced:
// every one is to be told. Make a Publisher for each, in a lane of its own.
package alertmanager

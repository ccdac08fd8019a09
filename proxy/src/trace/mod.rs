//! The record of a session: events, phases, sides, alterations, verdicts.

//! The way through an RD Gateway: what fails on it, and what only looks so.

mod attempt;
mod captures;
mod logon;
mod middlebox;
mod reach;
mod tunnel;

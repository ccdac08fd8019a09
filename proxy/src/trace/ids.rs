//! The words of the trace's small enumerations, as the trace itself spells them, for labels, attributes and file names.

use super::{ClosedBy, Confidence, How, Leg, Outcome, Side};

impl Side {
    /// Its word in a trace.
    pub fn id(self) -> &'static str {
        match self {
            Side::Client => "client",
            Side::Server => "server",
        }
    }
}

impl Leg {
    /// Its word in a trace.
    pub fn id(self) -> &'static str {
        match self {
            Leg::Client => "client",
            Leg::Server => "server",
            Leg::Proxy => "proxy",
        }
    }
}

impl ClosedBy {
    /// Its word in a trace.
    pub fn id(self) -> &'static str {
        match self {
            ClosedBy::Client => "client",
            ClosedBy::Server => "server",
            ClosedBy::Proxy => "proxy",
        }
    }
}

impl How {
    /// Its word in a trace.
    pub fn id(self) -> &'static str {
        match self {
            How::Fin => "fin",
            How::Reset => "reset",
            How::Timeout => "timeout",
            How::Alert => "alert",
            How::McsUltimatum => "mcs-ultimatum",
        }
    }
}

impl Outcome {
    /// Its word in a trace.
    pub fn id(self) -> &'static str {
        match self {
            Outcome::Ok => "ok",
            Outcome::Failed => "failed",
            Outcome::Unfinished => "unfinished",
            Outcome::Skipped => "skipped",
        }
    }
}

impl Confidence {
    /// Its word in a trace.
    pub fn id(self) -> &'static str {
        match self {
            Confidence::Possible => "possible",
            Confidence::Likely => "likely",
            Confidence::Confirmed => "confirmed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Serialize;

    fn assert_spelled<T: Copy + Serialize, const N: usize>(all: [T; N], id: impl Fn(T) -> &'static str) {
        for one in all {
            assert_eq!(serde_json::to_value(one).unwrap(), id(one));
        }
    }

    #[test]
    fn every_word_is_the_one_in_the_trace() {
        assert_spelled([Side::Client, Side::Server], Side::id);
        assert_spelled([Leg::Client, Leg::Server, Leg::Proxy], Leg::id);
        assert_spelled([ClosedBy::Client, ClosedBy::Server, ClosedBy::Proxy], ClosedBy::id);
        assert_spelled([How::Fin, How::Reset, How::Timeout, How::Alert, How::McsUltimatum], How::id);
        assert_spelled([Outcome::Ok, Outcome::Failed, Outcome::Unfinished, Outcome::Skipped], Outcome::id);
        assert_spelled([Confidence::Possible, Confidence::Likely, Confidence::Confirmed], Confidence::id);
    }
}

//! State machines from `(time, side, bytes)` to events. They never fail, never change a byte and hold no more than
//! their named limits; fed the same bytes in other pieces they give the same events.

pub mod session;
pub mod timeline;

pub use session::SessionObserver;
pub use timeline::Timeline;

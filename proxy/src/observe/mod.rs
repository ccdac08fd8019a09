//! State machines from `(time, side, bytes)` to events. They never fail, never change a byte and hold no more than
//! their named limits; fed the same bytes in other pieces they give the same events.

mod certificates;
mod encrypted;
mod rdp;
pub mod session;
mod summary;
pub mod timeline;
mod tls;
mod udp;

pub use session::SessionObserver;
pub use timeline::Timeline;
pub use udp::UdpObserver;

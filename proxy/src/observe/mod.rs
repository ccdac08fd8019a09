//! State machines from `(time, side, bytes)` to events. They never fail, never change a byte and hold no more than
//! their named limits; fed the same bytes in other pieces they give the same events.

mod certificates;
pub mod encrypted;
pub mod gateway;
pub mod inside;
pub mod leaving;
mod opened;
pub mod rdp;
pub mod session;
mod summary;
pub mod terminated;
pub mod timeline;
pub mod tls;
pub mod udp;

pub use certificates::describe as describe_certificates;
pub use gateway::GatewayObserver;
pub use inside::InsideObserver;
pub use opened::{Opened, OpensTls};
pub use session::{Course, SessionObserver};
pub use timeline::{Progress, Timeline};
pub use udp::UdpObserver;

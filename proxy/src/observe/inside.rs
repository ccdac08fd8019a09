//! stub
use crate::trace::{Detail, Event, Micros, Phase, Side};
#[derive(Debug)]
pub struct InsideObserver;
impl InsideObserver {
    pub fn new(_: Option<u32>) -> Self {
        InsideObserver
    }
    pub fn data(&mut self, _: Micros, _: Side, _: &[u8], _: &mut Vec<Event>) {}
    pub fn is_opaque(&self, _: Side) -> bool {
        false
    }
    pub fn announced_end(&self) -> Option<Side> {
        None
    }
    pub fn phase(&self) -> Phase {
        Phase::Mcs
    }
}
pub fn credssp_message(_: &[u8]) -> Option<Detail> {
    None
}

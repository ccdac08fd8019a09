//! The calls of one virtual connection that are under way, and the fragments of their stubs.

use crate::wire::rpch::rpc::Header;
use crate::wire::rpch::tsproxy::{CONTEXT_HANDLE, SEND_TO_SERVER, call_name};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Bytes of one stub. The longest that MS-TSGU allows is a tunnel's answer: 24 000 characters of certificates and 64 KiB of
/// message.
pub(super) const MOST_STUB: usize = 128 * 1024;
/// Bytes of all stubs of a virtual connection that have not come whole.
const MOST_GATHERED: usize = 2 * MOST_STUB;
/// Calls under way. A client has the receive pipe, a request for messages and a few packets on their way.
const MOST_CALLS: usize = 64;

/// The context handle of a channel to a target, as the gateway gave it.
pub(super) type ChannelHandle = [u8; CONTEXT_HANDLE];

/// Calls by their call_id.
#[derive(Debug, Default)]
pub(super) struct Calls {
    under_way: BTreeMap<u32, Call>,
    gathered: usize,
}

#[derive(Debug)]
struct Call {
    opnum: u16,
    /// Of a receive pipe, which channel it is of.
    channel: Option<ChannelHandle>,
    request: Gathering,
    response: Gathering,
}

/// The fragments of a stub so far.
#[derive(Debug, Default)]
struct Gathering {
    stub: Vec<u8>,
    is_too_long: bool,
}

/// What a fragment makes of its stub.
#[derive(Debug)]
pub(super) enum Stub<'a> {
    /// More is to come, or was told to be too long before.
    Incomplete,
    /// It is whole.
    Whole(Cow<'a, [u8]>),
    /// It is longer than what is kept; told once.
    TooLong,
}

impl Calls {
    /// A fragment of a request.
    pub(super) fn request<'a>(&mut self, header: &Header, opnum: u16, stub: &'a [u8]) -> Stub<'a> {
        if header.is_first() {
            self.begin(header.call_id, opnum);
        }
        if header.is_first() && header.is_last() {
            return Stub::Whole(Cow::Borrowed(stub));
        }
        let Some(call) = self.under_way.get_mut(&header.call_id) else { return Stub::Incomplete };
        call.request.add(header, stub, &mut self.gathered)
    }

    /// A fragment of a response; the last one ends the call.
    pub(super) fn response<'a>(&mut self, header: &Header, stub: &'a [u8]) -> Stub<'a> {
        let whole = header.is_first() && header.is_last();
        let gathered = match self.under_way.get_mut(&header.call_id) {
            Some(call) if !whole => call.response.add(header, stub, &mut self.gathered),
            _ if whole => Stub::Whole(Cow::Borrowed(stub)),
            _ => Stub::Incomplete,
        };
        if header.is_last() {
            self.end(header.call_id);
        }
        gathered
    }

    /// A call begins; of one that is not TsProxy's nothing is kept. One with data gives way where there are too many: of its
    /// answer little is to be learnt.
    pub(super) fn begin(&mut self, call_id: u32, opnum: u16) {
        self.end(call_id);
        if call_name(opnum).is_none() {
            return;
        }
        if self.under_way.len() >= MOST_CALLS {
            let with_data = self.under_way.iter().find(|(_, call)| call.opnum == SEND_TO_SERVER);
            let Some((&call_id, _)) = with_data else { return };
            self.end(call_id);
        }
        let call =
            Call { opnum, channel: None, request: Gathering::default(), response: Gathering::default() };
        self.under_way.insert(call_id, call);
    }

    /// A call is over: which it was.
    pub(super) fn end(&mut self, call_id: u32) -> Option<u16> {
        let call = self.under_way.remove(&call_id)?;
        self.gathered -= call.request.stub.len() + call.response.stub.len();
        Some(call.opnum)
    }

    /// The call's request is whole: which channel it is about.
    pub(super) fn is_about(&mut self, call_id: u32, channel: Option<ChannelHandle>) {
        if let Some(call) = self.under_way.get_mut(&call_id) {
            call.channel = channel;
        }
    }

    /// Which channel the call is about, where that was said.
    pub(super) fn channel(&self, call_id: u32) -> Option<ChannelHandle> {
        self.under_way.get(&call_id)?.channel
    }

    /// Which call this is.
    pub(super) fn opnum(&self, call_id: u32) -> Option<u16> {
        self.under_way.get(&call_id).map(|call| call.opnum)
    }
}

impl Gathering {
    fn add<'a>(&mut self, header: &Header, stub: &[u8], gathered: &mut usize) -> Stub<'a> {
        if self.is_too_long {
            return Stub::Incomplete;
        }
        if self.stub.len() + stub.len() > MOST_STUB || *gathered + stub.len() > MOST_GATHERED {
            *gathered -= std::mem::take(&mut self.stub).len();
            self.is_too_long = true;
            return Stub::TooLong;
        }
        self.stub.extend_from_slice(stub);
        *gathered += stub.len();
        if !header.is_last() {
            return Stub::Incomplete;
        }
        let whole = std::mem::take(&mut self.stub);
        *gathered -= whole.len();
        Stub::Whole(Cow::Owned(whole))
    }
}

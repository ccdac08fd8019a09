//! Who took leave first. The end of a connection alone does not tell: a server answers the client's goodbye by closing,
//! and under load its end may be read before the client's.

use crate::trace::{Detail, Event, GatewayMessage, Micros, Side};
use crate::wire::tsgu::Packet;

/// AlertDescription close_notify and user_canceled (RFC 8446 section 6): both say that their sender goes.
const GOODBYES: [u8; 2] = [0, 90];

/// The side that was the first to say, or to show by ending its stream, that it leaves; `belongs` tells of which
/// connections to a gateway that counts. Whatever was said before the last connection or tunnel began is about another
/// one. `None` where nobody was seen to leave.
pub fn left_first(events: &[Event], belongs: impl Fn(u32) -> bool) -> Option<Side> {
    first_goodbye(events, &belongs)?.from
}

/// The silence after which the gateway's side cut the tunnel in the connections of which `belongs` tells, without a word in
/// it or from inside it; `None` where it ended otherwise, or was not silent.
pub fn silent_cut(events: &[Event], belongs: impl Fn(u32) -> bool) -> Option<Micros> {
    let goodbye = first_goodbye(events, &belongs)?;
    // What ends inside ends with the connection, where nobody in the tunnel has said more.
    let is_wordless = match &goodbye.detail {
        Detail::StreamEnded { .. } => true,
        Detail::Alert(_) => goodbye.connection.is_some(),
        _ => false,
    };
    if !is_wordless || goodbye.from != Some(Side::Server) {
        return None;
    }
    events.iter().find_map(|event| match event.detail {
        Detail::Quiet { for_us } if event.connection.is_some_and(&belongs) => Some(for_us),
        _ => None,
    })
}

fn first_goodbye<'a>(events: &'a [Event], belongs: &impl Fn(u32) -> bool) -> Option<&'a Event> {
    let begins = |event: &Event| {
        matches!(event.detail, Detail::Connected { .. } | Detail::Gateway(GatewayMessage::TunnelBegan { .. }))
            && event.connection.is_none_or(belongs)
    };
    let begun = events.iter().rposition(begins).unwrap_or_default();
    let leaves = |event: &&Event| event.connection.is_none_or(belongs) && is_goodbye(event);
    events[begun..].iter().find(leaves)
}

/// Whether nothing more is to be expected of who told this. Nothing else in a session is as short as an alert, and neither
/// side goes on after one.
fn is_goodbye(event: &Event) -> bool {
    match &event.detail {
        Detail::EncryptedAlert { .. } => true,
        Detail::Alert(alert) => alert.is_fatal() || GOODBYES.contains(&alert.description),
        Detail::StreamEnded { .. } => true,
        Detail::Gateway(GatewayMessage::TunnelPacket(Packet::CloseChannel { .. })) => true,
        Detail::Gateway(GatewayMessage::WebsocketControl { frame, .. }) => frame == "close",
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::{How, Leg, Phase};
    use crate::wire::tls::Alert;

    fn event(from: Side, connection: Option<u32>, detail: Detail) -> Event {
        Event {
            t_us: 0,
            leg: Leg::from(from),
            from: Some(from),
            connection,
            phase: Phase::Closed,
            inferred: false,
            detail,
        }
    }

    fn ended(from: Side, connection: Option<u32>) -> Event {
        event(from, connection, Detail::StreamEnded { how: How::Fin })
    }

    fn alert(from: Side, level: u8, description: u8) -> Event {
        event(from, None, Detail::Alert(Alert::decode(&[level, description]).unwrap()))
    }

    #[test]
    fn a_goodbye_comes_before_the_end_that_answers_it() {
        let (client, server) = (Side::Client, Side::Server);
        let encrypted = event(client, None, Detail::EncryptedAlert { length: 19 });
        let all = |_| true;
        for goodbye in [encrypted, alert(client, 1, 0), alert(client, 2, 48)] {
            assert_eq!(left_first(&[goodbye, ended(server, None), ended(client, None)], all), Some(client));
        }
        let warning = alert(client, 1, 112);
        assert_eq!(left_first(&[warning, ended(server, None)], all), Some(server), "it goes on");
        assert_eq!(left_first(&[], all), None);
    }

    #[test]
    fn a_cut_without_a_word_is_told_from_an_announced_one() {
        let (client, server) = (Side::Client, Side::Server);
        let quiet = || event(server, Some(1), Detail::Quiet { for_us: 2_000_000 });
        let inside = || ended(server, None);
        let cut = |first: Vec<Event>| {
            let events =
                [first, vec![quiet(), inside(), ended(server, Some(1)), ended(client, Some(1))]].concat();
            silent_cut(&events, |number| number == 1)
        };
        assert_eq!(cut(vec![]), Some(2_000_000));
        let status = crate::wire::named::Code { value: 0, name: None };
        let close = Packet::CloseChannel { status };
        let announced = Detail::Gateway(GatewayMessage::TunnelPacket(close));
        assert_eq!(cut(vec![event(server, Some(1), announced)]), None);
        assert_eq!(cut(vec![alert(client, 1, 0)]), None, "its client left");
        assert_eq!(cut(vec![ended(server, Some(2))]), Some(2_000_000), "of another attempt");
        assert_eq!(silent_cut(&[inside(), ended(server, Some(1))], |_| true), None, "it was not silent");
    }

    #[test]
    fn other_connections_and_earlier_ones_do_not_count() {
        let (client, server) = (Side::Client, Side::Server);
        let connected = Detail::Connected { address: String::new(), local: String::new(), took_us: 0 };
        let again = event(server, None, connected);
        let events = [alert(server, 2, 40), again, ended(client, None)];
        assert_eq!(left_first(&events, |_| true), Some(client), "the first try is over");
        let events = [ended(server, Some(1)), ended(client, Some(2))];
        assert_eq!(left_first(&events, |number| number == 2), Some(client));
    }
}

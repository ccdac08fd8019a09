use super::*;
use proptest::prelude::*;

const CLIENT: &str = "Microsoft-Windows-TerminalServices-ClientActiveXCore";

/// An event as wevtutil renders it, with what stands around the fields on every machine.
fn event(provider: &str, id: u32, second: u32, fields: &str) -> String {
    format!(
        "<Event xmlns='http://schemas.microsoft.com/win/2004/08/events/event'><System><Provider Name='{provider}' \
         Guid='{{28aa95bb-d444-4719-a36f-40462168127e}}'/><EventID>{id}</EventID><Version>0</Version><Level>4</Level>\
         <Task>101</Task><Opcode>10</Opcode><Keywords>0x4000000000000000</Keywords>\
         <TimeCreated SystemTime='2026-11-22T03:00:{second:02}.1234567Z'/><EventRecordID>812</EventRecordID>\
         <Correlation ActivityID='{{6d1fa4ee-0000-4d2c-a5f6-000000000000}}'/><Execution ProcessID='5012' ThreadID='77'/>\
         <Channel>{provider}/Operational</Channel><Computer>pc7.corp.example</Computer>\
         <Security UserID='S-1-5-21-1-2-3-1001'/></System>{fields}\
         <RenderingInfo Culture='de-DE'><Message>ein Satz</Message></RenderingInfo></Event>"
    )
}

fn labelled(label: &str, value: &str) -> String {
    format!(
        "<EventData><Data Name='Name'>{label}</Data><Data Name='Value'>{value}</Data>\
         <Data Name='CustomLevel'>Info</Data></EventData>"
    )
}

fn all(events: &[String]) -> String {
    format!("<Events>{}</Events>", events.join("\r\n"))
}

fn entries(xml: &str) -> Vec<ClientLogEntry> {
    logged(xml).into_iter().map(|(_, entry)| entry).collect()
}

#[test]
fn an_attempt_of_mstsc_is_read() {
    let xml = all(&[
        event(CLIENT, 1024, 1, &labelled("Server Name", "127.0.0.1:13389")),
        event(CLIENT, 1026, 4, &labelled("Disconnect Reason", "2308")),
    ]);
    let [(began, connecting), (_, disconnected)] = &logged(&xml)[..] else { panic!("two entries") };
    assert_eq!(began.to_string(), "2026-11-22T03:00:01.1234567Z");
    assert_eq!(connecting.target.as_deref(), Some("127.0.0.1:13389"));
    assert_eq!(connecting.activity.as_deref(), Some("{6d1fa4ee-0000-4d2c-a5f6-000000000000}"));
    assert_eq!((disconnected.event_id, disconnected.disconnect_reason), (1026, Some(0x904)));
    assert_eq!((disconnected.severity, &disconnected.provider[..]), (Some(4), CLIENT));
    assert!(disconnected.particulars.is_empty(), "{disconnected:?}");
}

#[test]
fn a_failed_step_and_udp_keep_their_particulars() {
    let step = "<EventData><Data Name='Name'>RDPClient_SSL</Data><Data Name='ErrorCode'>0x80004005</Data></EventData>";
    let xml = all(&[event(CLIENT, 226, 1, step), event(CLIENT, 1104, 2, "<EventData/>")]);
    let [failed, no_udp] = &entries(&xml)[..] else { panic!("two entries") };
    assert_eq!(failed.particulars, ["Name: RDPClient_SSL", "ErrorCode: 0x80004005"]);
    assert_eq!(no_udp.meaning, "UDP could not be connected");
}

#[test]
fn alerts_of_schannel_are_read_in_both_of_its_forms() {
    let manifest =
        "<EventData><Data Name='AlertDesc'>46</Data><Data Name='ErrorState'>1203</Data></EventData>";
    let own = "<UserData><EventXML xmlns='LSA_NS'><AlertDesc>48</AlertDesc></EventXML></UserData>";
    let name = "<EventData><Data Name='Name'>srv10.corp.example</Data></EventData>";
    let events = [(36888, manifest), (36887, own), (36884, name)];
    let xml = all(&events.map(|(id, fields)| event("Schannel", id, 1, fields)));
    let [sent, received, other_name] = &entries(&xml)[..] else { panic!("three entries") };
    assert_eq!((sent.alert, &sent.particulars[..]), (Some(46), &["ErrorState: 1203".to_owned()][..]));
    assert_eq!(received.alert, Some(48));
    assert_eq!(other_name.target.as_deref(), Some("srv10.corp.example"));
}

/// A hash of a name is as good as the name to who guesses names.
#[test]
fn nothing_that_stands_for_a_user_is_kept() {
    let hash = "<EventData><Data Name='TraceMessage'>Base64(SHA256(UserName)) is = Q2FuYXJ5SGFzaA==-</Data></EventData>";
    let domain =
        "<EventData><Data Name='DomainName'>CANARYDOM</Data><Data Name='SessionId'>2</Data></EventData>";
    let xml =
        all(&[event(CLIENT, 1029, 1, hash), event(CLIENT, 1027, 1, domain), event(CLIENT, 999, 1, hash)]);
    let entries = entries(&xml);
    assert_eq!(entries.len(), 2, "an event that nobody knows is left where it is");
    let told = serde_json::to_string(&entries).unwrap();
    for canary in ["Q2FuYXJ5", "CANARYDOM", "S-1-5-21", "pc7", "ein Satz"] {
        assert!(!told.contains(canary), "{canary} in {told}");
    }
}

#[test]
fn what_is_no_event_is_nothing() {
    let whole = all(&[event(CLIENT, 1026, 4, &labelled("Disconnect Reason", "soon"))]);
    assert_eq!(entries(&whole)[0].disconnect_reason, None);
    assert_eq!(entries(&whole)[0].particulars, ["Value: soon"]);
    for wrong in ["", "No events", &whole[..whole.len() / 2], "<Events/>", "<Events><Event/></Events>"] {
        assert!(logged(wrong).is_empty(), "{wrong}");
    }
    let long = all(&[event(CLIENT, 1026, 4, &labelled("Disconnect Reason", &"ä".repeat(4000)))]);
    assert!(entries(&long)[0].particulars[0].len() <= "Value: ".len() + LONGEST_FIELD);
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in ".{0,200}", id in any::<u32>()) {
        logged(&text);
        let escaped = text.replace('&', "&amp;").replace('<', "&lt;");
        logged(&all(&[event(CLIENT, id, 1, &labelled(&escaped.replace('\'', ""), &escaped))]));
    }
}

//! What stands in for wevtutil under Wine, which has no event log: it answers a question about the client's log with an
//! attempt of mstsc that was made just now, and one about Schannel with an alert. What is not asked as Windows' own program
//! wants it, it refuses.

use std::process::ExitCode;

const CLIENT: &str = "Microsoft-Windows-TerminalServices-RDPClient/Operational";
const PROVIDER: &str = "Microsoft-Windows-TerminalServices-ClientActiveXCore";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [query, channel, filter, format, root, most, wide] = &arguments[..] else {
        eprintln!("Too many or too few arguments: {arguments:?}");
        return ExitCode::from(87);
    };
    let flags = [&format[..], root, &most[..3], wide] == ["/f:RenderedXml", "/e:Events", "/c:", "/uni:true"];
    let Some(last) = filter.split("@SystemTime<='").nth(1).and_then(|rest| rest.split('\'').next()) else {
        eprintln!("The specified query is invalid: {filter}");
        return ExitCode::from(15);
    };
    if query != "qe" || !flags || !filter.starts_with("/q:*[System[") {
        eprintln!("Invalid option: {arguments:?}");
        return ExitCode::from(87);
    }
    let events = if channel == CLIENT {
        vec![
            event(PROVIDER, 1024, last, &[("Name", "Server Name"), ("Value", "127.0.0.1")]),
            event(
                PROVIDER,
                1029,
                last,
                &[("TraceMessage", "Base64(SHA256(UserName)) is = Q2FuYXJ5SGFzaA==-")],
            ),
            event(PROVIDER, 1026, last, &[("Name", "Disconnect Reason"), ("Value", "2308")]),
        ]
    } else {
        vec![event("Schannel", 36887, last, &[("AlertDesc", "46")])]
    };
    let text = format!("<Events>{}</Events>", events.concat());
    let bytes: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    match std::io::Write::write_all(&mut std::io::stdout(), &bytes) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn event(provider: &str, id: u32, time: &str, fields: &[(&str, &str)]) -> String {
    let field = |(name, value): &(&str, &str)| format!("<Data Name='{name}'>{value}</Data>");
    let fields: String = fields.iter().map(field).collect();
    format!(
        "<Event xmlns='http://schemas.microsoft.com/win/2004/08/events/event'><System><Provider Name='{provider}'/>\
         <EventID>{id}</EventID><Level>4</Level><TimeCreated SystemTime='{time}'/><Computer>PC7</Computer></System>\
         <EventData>{fields}</EventData></Event>"
    )
}

//! What stands in for mstsc where a test runs `rdpscope` as a user of Windows does: it is given an .rdp file and no more,
//! connects to the address in it, asks for TLS and NLA and leaves with the server's answer.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::ExitCode;

/// TPKT, X.224 connection request, RDP_NEG_REQ for TLS and NLA.
const REQUEST: [u8; 19] = [3, 0, 0, 19, 14, 0xe0, 0, 0, 0, 0, 0, 1, 0, 8, 0, 3, 0, 0, 0];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file] = &arguments[..] else {
        println!("stand-in: {arguments:?} is not one file");
        return ExitCode::FAILURE;
    };
    match connect(file) {
        Ok(said) => {
            println!("stand-in: {said:?}");
            ExitCode::SUCCESS
        }
        Err(reason) => {
            println!("stand-in: {file}: {reason}");
            ExitCode::FAILURE
        }
    }
}

/// The file's name and what it says, once the server has answered.
fn connect(file: &str) -> Result<(&str, String), String> {
    let text = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
    let address = text.split("\r\n").find_map(|line| line.strip_prefix("full address:s:"));
    let address = address.ok_or_else(|| format!("no address in {text:?}"))?;
    let mut server = TcpStream::connect(address).map_err(|error| format!("{address}: {error}"))?;
    server.write_all(&REQUEST).map_err(|error| error.to_string())?;
    match server.read(&mut [0; 64]) {
        Ok(1..) => Ok((file, text)),
        _ => Err("no answer".to_owned()),
    }
}

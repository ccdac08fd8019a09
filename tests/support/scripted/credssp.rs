//! CredSSP messages of our own making, with canaries in the place of every secret.

/// What must never be shown: it stands wherever a peer would put a secret.
pub(crate) const CANARY: &[u8] = b"canary-secret-in-credssp";

/// Object identifiers of mechanisms.
pub(crate) const NTLM: &str = "2b06010401823702020a";
pub(crate) const KERBEROS: &str = "2a864886f712010202";

/// A DER element with the shortest length.
pub(crate) fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let header = match length {
        0..=0x7f => vec![tag, length as u8],
        0x80..=0xff => vec![tag, 0x81, length as u8],
        _ => vec![tag, 0x82, (length >> 8) as u8, length as u8],
    };
    [header, content.to_vec()].concat()
}

fn octets(number: u8, content: &[u8]) -> Vec<u8> {
    der(0xa0 | number, &der(4, content))
}

fn identifier(hex: &str) -> Vec<u8> {
    let digit = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex");
    der(6, &(0..hex.len()).step_by(2).map(digit).collect::<Vec<u8>>())
}

/// TSRequest of this version with fields of the functions below.
pub(crate) fn ts_request(version: u8, fields: &[Vec<u8>]) -> Vec<u8> {
    der(0x30, &[der(0xa0, &[2, 1, version]), fields.concat()].concat())
}

/// negoTokens with one token.
pub(crate) fn nego_token(token: &[u8]) -> Vec<u8> {
    der(0xa1, &der(0x30, &der(0x30, &octets(0, token))))
}

/// authInfo.
pub(crate) fn auth_info() -> Vec<u8> {
    octets(2, CANARY)
}

/// pubKeyAuth.
pub(crate) fn pub_key_auth() -> Vec<u8> {
    octets(3, CANARY)
}

/// errorCode in four bytes, as Windows sends it: a negative number.
pub(crate) fn error_code(code: u32) -> Vec<u8> {
    der(0xa4, &der(2, &code.to_be_bytes()))
}

/// clientNonce.
pub(crate) fn client_nonce() -> Vec<u8> {
    octets(5, &[0x55; 32])
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// An NTLM message of these parts; what its fields point to stands behind them.
fn ntlm(kind: u32, parts: &[Part<'_>]) -> Vec<u8> {
    let length = |part: &Part<'_>| match part {
        Part::Fixed(bytes) => bytes.len(),
        Part::Field(_) => 8,
    };
    let mut offset = 12 + parts.iter().map(length).sum::<usize>();
    let mut head = [&b"NTLMSSP\0"[..], &kind.to_le_bytes()].concat();
    let mut payload = Vec::new();
    for part in parts {
        match part {
            Part::Fixed(bytes) => head.extend(*bytes),
            Part::Field(value) => {
                head.extend([(value.len() as u16).to_le_bytes(); 2].concat());
                head.extend((offset as u32).to_le_bytes());
                offset += value.len();
                payload.extend(*value);
            }
        }
    }
    [head, payload].concat()
}

enum Part<'a> {
    Fixed(&'a [u8]),
    Field(&'a [u8]),
}
use Part::{Field, Fixed};

const FLAGS: [u8; 4] = 0xe288_8235_u32.to_le_bytes();
/// VERSION of Windows 11 22H2 and of Windows Server 2022.
const CLIENT_VERSION: [u8; 8] = [10, 0, 0x5d, 0x58, 0, 0, 0, 15];
const SERVER_VERSION: [u8; 8] = [10, 0, 0x7c, 0x4f, 0, 0, 0, 15];

/// NEGOTIATE_MESSAGE.
pub(crate) fn ntlm_negotiate() -> Vec<u8> {
    ntlm(1, &[Fixed(&FLAGS), Field(b""), Field(b""), Fixed(&CLIENT_VERSION)])
}

fn attribute(id: u16, value: &[u8]) -> Vec<u8> {
    [&id.to_le_bytes(), &(value.len() as u16).to_le_bytes(), value].concat()
}

/// CHALLENGE_MESSAGE of `FS01` in the domain `EXAMPLE` at this FILETIME.
pub(crate) fn ntlm_challenge(filetime: u64) -> Vec<u8> {
    let info = [
        attribute(2, &utf16("EXAMPLE")),
        attribute(1, &utf16("FS01")),
        attribute(4, &utf16("corp.example")),
        attribute(3, &utf16("fs01.corp.example")),
        attribute(5, &utf16("corp.example")),
        attribute(7, &filetime.to_le_bytes()),
        attribute(0, b""),
    ]
    .concat();
    let domain = utf16("EXAMPLE");
    let parts = [
        Field(&domain),
        Fixed(&FLAGS),
        Fixed(b"challeng"),
        Fixed(&[0; 8]),
        Field(&info),
        Fixed(&SERVER_VERSION),
    ];
    ntlm(2, &parts)
}

/// AUTHENTICATE_MESSAGE of `EXAMPLE\anna` at `CLIENT7`, to `TERMSRV/target`.
pub(crate) fn ntlm_authenticate(target: &str) -> Vec<u8> {
    let mut response = CANARY[..16].to_vec();
    response.extend([1, 1, 0, 0, 0, 0, 0, 0]);
    response.extend([0x11; 20]);
    response.extend(attribute(6, &2_u32.to_le_bytes()));
    response.extend(attribute(9, &utf16(&format!("TERMSRV/{target}"))));
    response.extend(attribute(10, &[0; 16]));
    response.extend(attribute(0, b""));
    let (domain, user, workstation) = (utf16("EXAMPLE"), utf16("anna"), utf16("CLIENT7"));
    let parts = [
        Field(CANARY),
        Field(&response),
        Field(&domain),
        Field(&user),
        Field(&workstation),
        Field(&CANARY[..16]),
        Fixed(&FLAGS),
        Fixed(&CLIENT_VERSION),
        Fixed(&CANARY[..16]),
    ];
    ntlm(3, &parts)
}

/// NegTokenInit that offers these mechanisms, with the token of the first.
pub(crate) fn spnego_init(mechanisms: &[&str], token: &[u8]) -> Vec<u8> {
    let list: Vec<u8> = mechanisms.iter().flat_map(|mechanism| identifier(mechanism)).collect();
    let init = der(0x30, &[der(0xa0, &der(0x30, &list)), octets(2, token)].concat());
    der(0x60, &[identifier("2b0601050502"), der(0xa0, &init)].concat())
}

/// NegTokenResp with this state.
pub(crate) fn spnego_response(state: u8, mechanism: Option<&str>, token: &[u8]) -> Vec<u8> {
    let selected = mechanism.map(|mechanism| der(0xa1, &identifier(mechanism))).unwrap_or_default();
    der(0xa1, &der(0x30, &[der(0xa0, &[10, 1, state]), selected, octets(2, token)].concat()))
}

fn kerberos(token_id: [u8; 2], message: &[u8]) -> Vec<u8> {
    der(0x60, &[&identifier(KERBEROS)[..], &token_id, message].concat())
}

fn text(text: &str) -> Vec<u8> {
    der(0x1b, text.as_bytes())
}

/// AP-REQ for `TERMSRV/host` in `realm`, with a ticket under AES-256.
pub(crate) fn kerberos_ap_req(realm: &str, host: &str) -> Vec<u8> {
    let encrypted = |kind| der(0x30, &[der(0xa0, &[2, 1, kind]), octets(2, CANARY)].concat());
    let parts = der(0x30, &[text("TERMSRV"), text(host)].concat());
    let name = der(0x30, &[der(0xa0, &[2, 1, 2]), der(0xa1, &parts)].concat());
    let ticket =
        [der(0xa0, &[2, 1, 5]), der(0xa1, &text(realm)), der(0xa2, &name), der(0xa3, &encrypted(18))]
            .concat();
    let request = [
        der(0xa0, &[2, 1, 5]),
        der(0xa1, &[2, 1, 14]),
        der(0xa2, &[3, 5, 0, 0, 0, 0, 0]),
        der(0xa3, &der(0x61, &der(0x30, &ticket))),
        der(0xa4, &encrypted(18)),
    ]
    .concat();
    kerberos([1, 0], &der(0x6e, &der(0x30, &request)))
}

/// AP-REP.
pub(crate) fn kerberos_ap_rep() -> Vec<u8> {
    kerberos([2, 0], &der(0x6f, &der(0x30, &octets(2, CANARY))))
}

/// KRB-ERROR.
pub(crate) fn kerberos_error(code: u8) -> Vec<u8> {
    let error = [der(0xa0, &[2, 1, 5]), der(0xa1, &[2, 1, 30]), der(0xa6, &[2, 1, code])].concat();
    kerberos([3, 0], &der(0x7e, &der(0x30, &error)))
}

/// RDSTLS: the request with a password, and the response with this result.
pub(crate) fn rdstls_messages(result: u32) -> [Vec<u8>; 3] {
    let counted = |field: &[u8]| [&(field.len() as u16).to_le_bytes(), field].concat();
    let fields =
        [&utf16("{6a1b2c3d-0000-4000-8000-000000000001}")[..], &utf16("anna"), &utf16("EXAMPLE"), CANARY];
    let fields: Vec<u8> = fields.iter().flat_map(|field| counted(field)).collect();
    [
        vec![1, 0, 1, 0, 1, 0, 1, 0],
        [&[1, 0, 2, 0, 1, 0], &fields[..]].concat(),
        [&[1, 0, 4, 0, 1, 0], &result.to_le_bytes()[..]].concat(),
    ]
}

/// RDS-AAD: nonce, request and result, each with the NUL that some peers add.
pub(crate) fn rdsaad_messages(result: i32) -> [Vec<u8>; 3] {
    let canary = String::from_utf8_lossy(CANARY);
    [
        format!("{{\"ts_nonce\":\"{canary}\"}}\0").into_bytes(),
        format!("{{\"rdp_assertion\":\"{canary}\"}}\0").into_bytes(),
        format!("{{\"authentication_result\":{result}}}\0").into_bytes(),
    ]
}

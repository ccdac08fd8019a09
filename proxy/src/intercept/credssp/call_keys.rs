//! The keys with which a client of a gateway signs its calls over RPC (MS-RPCE 2.2.1.1.10), from the account that it logs
//! on with by NTLM: what it sends to prove its password tells the key to whoever knows that too.

use super::credentials::Credentials;
use super::seal::{End, KEY_LENGTH, Session};
use crate::alter::gateway::rpc::{CallKeys, Signatures, Token};
use crate::trace::Side;
use hmac::{Hmac, Mac};
use md4::{Digest, Md4};
use md5::Md5;
use rc4::{KeyInit, Rc4, StreamCipher};
use zeroize::Zeroizing;

/// NTLMSSP and the message's type (MS-NLMP 2.2.1.3).
const AUTHENTICATE: &[u8] = b"NTLMSSP\0\x03\0\0\0";
/// Where the message's fields stand: each a length, a room and an offset.
const NT_RESPONSE: usize = 20;
const DOMAIN: usize = 28;
const USER: usize = 36;
const ENCRYPTED_KEY: usize = 52;
const FLAGS: usize = 60;

/// NegotiateFlags (MS-NLMP 2.2.2.5).
const UNICODE: u32 = 0x0000_0001;
const EXTENDED_SECURITY: u32 = 0x0008_0000;
const OF_128_BITS: u32 = 0x2000_0000;
const KEY_EXCHANGE: u32 = 0x4000_0000;

/// Bytes of NTProofStr, with which an NTLMv2_RESPONSE begins; NTLMv1_RESPONSE has 24 in all (MS-NLMP 2.2.2.6, 2.2.2.8).
const PROOF: usize = 16;
const NTLM_1_RESPONSE: usize = 24;

impl CallKeys for Credentials {
    fn signatures(&self, authenticate: &[u8]) -> Result<Box<dyn Signatures>, String> {
        let other =
            || "the client does not log on by NTLM, so that the account tells nothing of its key".to_owned();
        if !authenticate.starts_with(AUTHENTICATE) {
            return Err(other());
        }
        let flags = authenticate.get(FLAGS..).and_then(<[u8]>::first_chunk).map(|it| u32::from_le_bytes(*it));
        let flags = flags.ok_or_else(other)?;
        let response = field(authenticate, NT_RESPONSE);
        let needed = UNICODE | EXTENDED_SECURITY | OF_128_BITS;
        if flags & needed != needed || response.len() <= NTLM_1_RESPONSE {
            return Err("the client logs on with an older NTLM than NTLMv2 with 128 bits".to_owned());
        }
        let (user, domain) = (field(authenticate, USER), field(authenticate, DOMAIN));
        let base = hmac(&*response_key(self.password(), user, domain), &response[..PROOF]);
        let mut key = base.clone();
        if flags & KEY_EXCHANGE != 0 {
            let sent = field(authenticate, ENCRYPTED_KEY);
            let sent: [u8; KEY_LENGTH] = sent.try_into().map_err(|_| other())?;
            *key = sent;
            Rc4::new_from_slice(&*base).expect("RC4 takes a key of 16 bytes").apply_keystream(&mut *key);
        }
        Ok(Box::new(Calls(Session::new(End::Client, &key, flags & KEY_EXCHANGE != 0))))
    }
}

/// Both ends of a security context.
struct Calls(Session);

impl Signatures for Calls {
    fn token(&mut self, from: Side, signed: &[u8]) -> Token {
        match from {
            Side::Client => self.0.sign(signed),
            Side::Server => self.0.sign_for_the_other(signed),
        }
    }
}

type Key = Zeroizing<[u8; KEY_LENGTH]>;

/// NTOWFv2 (MS-NLMP 3.3.2), with the names as the client wrote them.
fn response_key(password: &str, user: &[u8], domain: &[u8]) -> Key {
    let utf16 =
        |text: &str| Zeroizing::new(text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>());
    let hash = Zeroizing::new(<[u8; KEY_LENGTH]>::from(Md4::digest(&*utf16(password))));
    let user: Vec<u16> = user.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
    let user = utf16(&String::from_utf16_lossy(&user).to_uppercase());
    hmac(&*hash, &[&user[..], domain].concat())
}

fn hmac(key: &[u8], message: &[u8]) -> Key {
    let mac = <Hmac<Md5> as Mac>::new_from_slice(key).expect("HMAC takes a key of any length");
    Zeroizing::new(mac.chain_update(message).finalize().into_bytes().into())
}

/// What the length and the offset at `at` point to; nothing where that is outside.
fn field(message: &[u8], at: usize) -> &[u8] {
    let Some(&[low, high, _, _, offset @ ..]) = message.get(at..).and_then(<[u8]>::first_chunk::<8>) else {
        return &[];
    };
    let (length, offset) =
        (usize::from(u16::from_le_bytes([low, high])), u32::from_le_bytes(offset) as usize);
    message.get(offset..).and_then(|rest| rest.get(..length)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// MS-NLMP 4.2.4: User, Domain, Password and what follows from them.
    #[test]
    fn the_examples_of_the_specification_come_out() {
        let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
        let key = response_key("Password", &utf16("User"), &utf16("Domain"));
        assert_eq!(hex::encode(&*key), "0c868a403bfd7a93a3001ef22ef02e3f");
        let proof = hex::decode("68cd0ab851e51c96aabc927bebef6a1c").unwrap();
        assert_eq!(hex::encode(&*hmac(&*key, &proof)), "8de40ccadbc14a82f15cb0ad0de95ca3");
        let message = b"Plaintext".map(|byte| [byte, 0]).concat();
        let mut session = Session::new(End::Client, &[0x55; 16], true);
        assert_eq!(&session.seal(&message)[..16], hex::decode("010000007fb38ec5c55d497600000000").unwrap());
    }

    fn authenticate(flags: u32, response: &[u8], key: &[u8]) -> Vec<u8> {
        let mut message = [AUTHENTICATE, &[0; 52]].concat();
        let put = |at: usize, content: &[u8], message: &mut Vec<u8>| {
            let (length, offset) = (content.len() as u16, message.len() as u32);
            message[at..at + 2].copy_from_slice(&length.to_le_bytes());
            message[at + 4..at + 8].copy_from_slice(&offset.to_le_bytes());
            message.extend(content);
        };
        put(NT_RESPONSE, response, &mut message);
        put(USER, &[b'u', 0], &mut message);
        put(ENCRYPTED_KEY, key, &mut message);
        message[FLAGS..FLAGS + 4].copy_from_slice(&flags.to_le_bytes());
        message
    }

    #[test]
    fn what_tells_no_key_is_said() {
        let account = Credentials::new("u", Zeroizing::new("p".to_owned())).expect("it has a name");
        let all = UNICODE | EXTENDED_SECURITY | OF_128_BITS | KEY_EXCHANGE;
        assert!(account.signatures(&authenticate(all, &[1; 60], &[2; 16])).is_ok());
        for (message, reason) in [
            (Vec::new(), "NTLM"),
            (b"NTLMSSP\0\x03\0\0\0".to_vec(), "NTLM"),
            (authenticate(all, &[1; 24], &[2; 16]), "older"),
            (authenticate(all & !OF_128_BITS, &[1; 60], &[2; 16]), "older"),
            (authenticate(all, &[1; 60], &[2; 8]), "NTLM"),
        ] {
            let told = account.signatures(&message).err().expect("there is no key");
            assert!(told.contains(reason), "{told}");
        }
    }
}

//! NTSTATUS in TSRequest.errorCode (MS-CSSP 2.2.1, MS-ERREF 2.3.1).

use super::entry::{AB_CERT, AB_NLA, Entry, PROBE, PROXY, entries};
use crate::wire::credssp::status::NTSTATUS;

const CREDENTIALS: &[&str] =
    &["the user name, domain or password is wrong", "an old saved credential is used"];
const NO_DOMAIN: &[&str] =
    &["the server reaches no domain controller", "the domain's DNS is wrong on the server"];
const TRUST: &[&str] =
    &["the server's machine account is broken: repair its secure channel or join it again"];
const MACHINE_ACCOUNT: &[&str] = &["a computer's account was used instead of a user's"];
const CARD: &[&str] = &["the smart card, its reader or its PIN"];
const SERVER_FAULT: &[&str] = &["the server's security subsystem failed; see its System and Security logs"];
const BINDING: &[&str] = &[
    "TLS is terminated in between: an inspection box, a load balancer, or rdpscope with its own certificate",
    "the channel binding policy of one end",
];

/// The statuses that servers send in CredSSP.
pub(super) const TABLE: &[Entry] = entries! {
    names of NTSTATUS;
    0xC0000022
        "the user is authenticated and not allowed, or the TLS key was not the server's"
        ["the user lacks the right to log on", "TLS is terminated in between, so that the key binding fails"]
        [PROXY, AB_CERT];
    0xC000005E "no domain controller could be asked" NO_DOMAIN [PROXY];
    0xC0000064 "there is no such user" CREDENTIALS [PROXY];
    0xC000006A "the password is wrong" CREDENTIALS [PROXY];
    0xC000006D "a wrong user name or password" CREDENTIALS [PROXY]
        => "The server does not say which of the two; its Security log, event 4625, does.";
    0xC000006E "an account restriction forbids the logon"
        ["an empty password", "a policy limits the account", "delegation is restricted"] [PROXY];
    0xC000006F "the account may not log on at this hour" ["the account's hours"]
        [PROXY];
    0xC0000070 "the account may not log on from this computer"
        ["the account is limited to other workstations"] [PROXY];
    0xC0000071 "the password has expired"
        ["the password is too old, and NLA offers no way to change it"] [PROXY, AB_NLA];
    0xC0000072 "the account is disabled" ["the account was disabled"] [PROXY];
    0xC000009A "the server is out of resources"
        ["memory or handles of the server"]
        [PROXY];
    0xC00000BB "the server refuses the CredSSP version, or NTLM is blocked"
        ["one end lacks the update for CVE-2018-0886 (encryption oracle remediation)",
         "NTLM is blocked and Kerberos was not possible"] [PROXY, PROBE];
    0xC00000DC "the server's account database is not ready" SERVER_FAULT
        [PROXY];
    0xC00000E5 "the server failed in itself" SERVER_FAULT [PROXY];
    0xC0000133 "the clocks of client and domain controller are too far apart"
        ["the clock of client or server is wrong"] [PROBE];
    0xC000015B "the user lacks the right to this kind of logon"
        ["the user is not in Remote Desktop Users", "network or remote logon is denied by policy"] [PROXY];
    0xC000018A "the server has no secret to talk to its domain with" TRUST
        [PROXY];
    0xC000018B "the domain does not know the server's account" TRUST [PROXY];
    0xC000018C "the trust between the domains is broken"
        ["the trust between the user's domain and the server's"] [PROXY];
    0xC000018D "the trust between server and domain is broken" TRUST
        [PROXY];
    0xC0000192 "Netlogon does not run on the server" ["the service is stopped"]
        [PROXY];
    0xC0000193 "the account is past its end date" ["the account's end date"] [PROXY];
    0xC0000199 "a workstation's account was used to log on"
        MACHINE_ACCOUNT [PROXY];
    0xC000019A "a server's account was used to log on" MACHINE_ACCOUNT
        [PROXY];
    0xC0000224 "the password must be changed before the first logon"
        ["the account is new or was reset, and NLA offers no way to change the password"] [PROXY, AB_NLA];
    0xC0000234 "the account is locked"
        ["too many wrong passwords, often from a device with an old saved one"] [PROXY];
    0xC00002EE "the handshake was given up" ["one end gave up"] [PROXY];
    0xC00002F9 "the smart card is for another user" CARD [PROXY];
    0xC0000320 "the domain controller's certificate, or the card's, was refused"
        ["the domain controller's certificate expired or is not trusted", "the card's certificate"] [PROXY];
    0xC0000321 "the smart card subsystem failed" CARD [PROXY];
    0xC000035B "the channel binding does not fit" BINDING [PROXY, AB_CERT];
    0xC000035C "the session must be authenticated again"
        ["the ticket or session has expired"] [PROXY];
    0xC0000380 "the smart card's PIN is wrong" CARD [PROXY];
    0xC0000381 "the smart card is blocked" CARD [PROXY];
    0xC0000382 "no PIN was given to the smart card" CARD [PROXY];
    0xC0000387 "the smart card could not be read" CARD [PROXY];
    0xC0000388 "a downgrade of authentication is suspected" NO_DOMAIN [PROXY];
    0xC0000408 "Kerberos user-to-user authentication is required"
        ["the target runs under a user's account"] [PROXY];
    0xC0000413 "selective authentication of the trust forbids it"
        ["the user lacks the right to authenticate to this server across the trust"] [PROXY];
    0xC0000719 "the token was made for another target"
        ["the dialled name leads to another machine",
         "a load balancer changed the target in between"] [PROBE];
    0xC00700EA "an error of the server's own system, which says nothing of the logon"
        ["a wrong user name or password: servers of FreeRDP, gnome-remote-desktop too, answer a refused logon with the \
          last error that their system had",
         "TLS is terminated in between, so that the key binding fails"]
        [PROXY, AB_NLA];
};

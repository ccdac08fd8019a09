//! What the server signs its part of the exchange with: a key in a smart card or a TPM may know no RSA-PSS, and then there
//! is no TLS 1.3 with it (RFC 8446 section 4.2.3, RFC 5246 section 7.4.1.4.1).

use super::super::answer::Until;
use super::super::catalogue::{SIGNATURE_SCHEMES, has_server_key_exchange};
use super::super::elimination::{Choice, Eliminated, eliminate};
use super::{Ask, SHARES, Version, choice, chosen_suite, offer};
use crate::trace::HelloAnswer;
use crate::wire::tls::HelloOffer;
use crate::wire::tls::names::{TLS_1_2, TLS_1_3};
use futures_util::future::join_all;

/// The schemes of TLS 1.3 by the kind of key: RSA, ECDSA, and what hardly any server has. Mostly there is one key.
const FAMILIES: [&[u16]; 3] = [
    &[0x0804, 0x0805, 0x0806],
    &[0x0403, 0x0503, 0x0603, 0x081a, 0x081b, 0x081c],
    &[0x0807, 0x0808, 0x0809, 0x080a, 0x080b, 0x0904, 0x0905, 0x0906],
];

/// What the server signs with in `version`; nothing before TLS 1.2, which had no choice.
pub(super) async fn schemes(server: &impl Ask, version: &Version) -> Eliminated {
    if version.given_up.is_some() {
        return Eliminated { given_up: version.given_up.clone(), ..Eliminated::default() };
    }
    match version.number {
        TLS_1_3 => by_kind(server, version).await,
        TLS_1_2 => by_choice(server, version).await,
        _ => Eliminated::default(),
    }
}

/// TLS 1.2 names the scheme beside its signature.
async fn by_choice(server: &impl Ask, version: &Version) -> Eliminated {
    let suites: Vec<u16> =
        version.suites.iter().copied().filter(|&suite| has_server_key_exchange(suite)).collect();
    if suites.is_empty() {
        return Eliminated::default();
    }
    eliminate(SIGNATURE_SCHEMES.to_vec(), async |offered| {
        let offer =
            HelloOffer { signature_schemes: offered.to_vec(), ..offer(version.number, suites.clone()) };
        let answered = server.ask(offer, Until::KeyExchange).await;
        let exchange = answered.key_exchange.as_ref().filter(|_| is_accepted(&answered.answer, version));
        let scheme = exchange.and_then(|exchange| exchange.signature_scheme.as_ref()).map(|scheme| scheme.id);
        if scheme.is_none() && matches!(answered.answer, HelloAnswer::Accepted(_)) {
            return Choice::Unanswered("the server did not say which one it chose".to_owned());
        }
        choice(&answered.answer, scheme)
    })
    .await
}

/// TLS 1.3 encrypts the name of the scheme, and so each is offered alone; but none whose kind is refused.
async fn by_kind(server: &impl Ask, version: &Version) -> Eliminated {
    let kinds = FAMILIES.map(async |family| {
        let answer = takes(server, version, family).await;
        if matches!(answer, Choice::Took(_)) {
            join_all(family.iter().map(|scheme| takes(server, version, std::slice::from_ref(scheme)))).await
        } else {
            vec![answer]
        }
    });
    let mut found = Eliminated::default();
    for answer in join_all(kinds).await.into_iter().flatten() {
        match answer {
            Choice::Took(scheme) => found.taken.push(scheme),
            Choice::Refused => {}
            Choice::Unanswered(reason) => found.given_up = Some(reason),
        }
    }
    found
}

/// Whether the server takes one of `schemes`, told as its first. It is given a share of the group that it likes best, as it
/// would otherwise ask for that first.
async fn takes(server: &impl Ask, version: &Version, schemes: &[u16]) -> Choice {
    let groups = liked_group(version).map_or_else(|| SHARES.to_vec(), |group| vec![group]);
    let offer = HelloOffer {
        signature_schemes: schemes.to_vec(),
        key_shares: groups.clone(),
        groups,
        ..offer(version.number, version.suites.clone())
    };
    let answer = server.ask(offer, Until::Hello).await.answer;
    match &answer {
        HelloAnswer::Accepted(hello) if hello.is_hello_retry_request => {
            Choice::Unanswered("the server asks for another group before it looks at them".to_owned())
        }
        answer => choice(answer, schemes.first().copied().filter(|_| is_accepted(answer, version))),
    }
}

fn liked_group(version: &Version) -> Option<u16> {
    let HelloAnswer::Accepted(hello) = &version.answer else { return None };
    hello.key_share_group.as_ref().map(|group| group.id)
}

fn is_accepted(answer: &HelloAnswer, version: &Version) -> bool {
    chosen_suite(answer, version.number).is_some()
}

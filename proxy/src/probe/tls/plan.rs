//! Which hellos are sent, given the answers so far. It knows no socket: what asks is an argument.

mod signatures;
#[cfg(test)]
mod tests;

use super::answer::{Answered, Until};
use super::catalogue::{self, Family, SIGNATURE_SCHEMES, USUAL_GROUPS};
use super::elimination::{Choice, Eliminated, eliminate};
use crate::trace::{HelloAnswer, LeftOut, TlsCheck};
use crate::wire::tls::names::{self, SSL_3_0, TLS_1_0, TLS_1_1, TLS_1_2, TLS_1_3, group};
use crate::wire::tls::{CodePoint, HelloOffer};
use futures_util::future::{join, join_all, join3};

/// From the newest: where connections run out, the old versions go short.
const VERSIONS: [u16; 5] = [TLS_1_3, TLS_1_2, TLS_1_1, TLS_1_0, SSL_3_0];
/// protocol_version (RFC 8446 section 6.2): no suite would be taken, either.
const PROTOCOL_VERSION: u8 = 70;
/// What clients send shares of before they are asked for another.
const SHARES: [u16; 2] = [group::X25519, group::SECP256R1];

/// Something that answers hellos, each on a connection of its own. It fills in `random` and `server_name`.
pub(super) trait Ask {
    /// Sends `offer` and reads its answer.
    async fn ask(&self, offer: HelloOffer, until: Until) -> Answered;
}

/// What was found, and what could not be asked to its end.
pub(super) async fn scan(server: &impl Ask) -> (TlsCheck, Vec<LeftOut>) {
    let found = join_all(VERSIONS.map(|version| scan_version(server, version))).await;
    let taken: Vec<&Version> = found.iter().filter(|version| !version.suites.is_empty()).collect();
    let orders = join_all(taken.iter().map(|version| server_order(server, version)));
    let signatures = join_all(taken.iter().map(|version| signatures::schemes(server, version)));
    let (orders, exchanges, signatures) = join3(orders, exchanges(server, &taken), signatures).await;

    let named = |version: &Version| names::version(version.number).into_owned();
    let mut check = TlsCheck {
        suites: taken.iter().map(|version| (named(version), suites(&version.suites))).collect(),
        server_order: taken
            .iter()
            .zip(orders)
            .filter_map(|(version, order)| Some((named(version), order?)))
            .collect(),
        groups: exchanges.groups.iter().copied().map(names::named_group).collect(),
        diffie_hellman_bits: exchanges.diffie_hellman_bits,
        ..TlsCheck::default()
    };
    check.refused = refused(&taken, &exchanges);
    let mut left_out = exchanges.left_out;
    for (version, Eliminated { taken, given_up }) in taken.iter().zip(signatures) {
        let name = named(version);
        left_out.extend(given_up.map(|reason| left_out_of("the signature schemes", &name, reason)));
        if !taken.is_empty() {
            check.signature_schemes.insert(name, taken.into_iter().map(names::signature_scheme).collect());
        }
    }
    for version in found {
        let name = named(&version);
        left_out.extend(version.given_up.map(|reason| left_out_of("the suites", &name, reason)));
        check.versions.insert(name, version.answer);
    }
    (check, left_out)
}

/// What came of one version.
#[derive(Debug)]
struct Version {
    number: u16,
    answer: HelloAnswer,
    /// In the order in which they were chosen, family by family.
    suites: Vec<u16>,
    given_up: Option<String>,
}

async fn scan_version(server: &impl Ask, number: u16) -> Version {
    let answer = first_answer(server, number).await;
    let mut version = Version { number, answer, suites: Vec::new(), given_up: None };
    if chosen_suite(&version.answer, number).is_none() {
        return version;
    }
    let families = Family::ALL.map(|family| {
        eliminate(catalogue::family(number, family), async move |offered: &[u16]| {
            let answered = server.ask(offer(number, offered.to_vec()), Until::Hello).await;
            choice(&answered.answer, chosen_suite(&answered.answer, number))
        })
    });
    for Eliminated { taken, given_up } in join_all(families).await {
        version.suites.extend(taken);
        version.given_up = version.given_up.or(given_up);
    }
    version
}

/// With what clients of the version offer and, where that is refused, with everything else.
async fn first_answer(server: &impl Ask, number: u16) -> HelloAnswer {
    let usual = catalogue::usual(number);
    let answer = only(number, server.ask(offer(number, usual.clone()), Until::Hello).await.answer);
    let may_take_others = match &answer {
        HelloAnswer::Alert { description, .. } => *description != PROTOCOL_VERSION,
        HelloAnswer::Closed { .. } => true,
        _ => false,
    };
    if !may_take_others {
        return answer;
    }
    let others = catalogue::suites(number).into_iter().filter(|suite| !usual.contains(suite)).collect();
    let other = only(number, server.ask(offer(number, others), Until::Hello).await.answer);
    if matches!(other, HelloAnswer::Accepted(_)) { other } else { answer }
}

/// A server that answers with an older version does not take this one.
fn only(number: u16, answer: HelloAnswer) -> HelloAnswer {
    match answer {
        HelloAnswer::Accepted(hello) if hello.version != names::version(number) => {
            HelloAnswer::OtherVersion { version: hello.version }
        }
        answer => answer,
    }
}

fn chosen_suite(answer: &HelloAnswer, number: u16) -> Option<u16> {
    match answer {
        HelloAnswer::Accepted(hello) if hello.version == names::version(number) => {
            Some(hello.cipher_suite.id)
        }
        _ => None,
    }
}

/// `chosen` is what was looked for in an answer.
fn choice(answer: &HelloAnswer, chosen: Option<u16>) -> Choice {
    match (answer, chosen) {
        (_, Some(chosen)) => Choice::Took(chosen),
        (HelloAnswer::Silent, None) => Choice::Unanswered("the server stopped answering".to_owned()),
        (HelloAnswer::NotReached { reason }, None) => Choice::Unanswered(reason.clone()),
        (_, None) => Choice::Refused,
    }
}

/// Whether the server goes by its own order; nothing where it takes too few suites to tell, or stopped answering.
async fn server_order(server: &impl Ask, version: &Version) -> Option<bool> {
    let (first, last) = (*version.suites.first()?, *version.suites.last()?);
    if first == last || version.given_up.is_some() {
        return None;
    }
    let ask = async |suites: Vec<u16>| {
        let answered = server.ask(offer(version.number, suites), Until::Hello).await;
        chosen_suite(&answered.answer, version.number)
    };
    let reversed: Vec<u16> = version.suites.iter().rev().copied().collect();
    if ask(reversed).await? != last {
        return Some(true);
    }
    // The last may be what the server likes best.
    Some(ask(version.suites.clone()).await? == last)
}

/// Groups and the strength of DHE.
#[derive(Debug, Default)]
struct Exchanges {
    groups: Vec<u16>,
    /// Whether each way to choose a group was asked for to its end, and there was one.
    groups_are_known: bool,
    diffie_hellman_bits: Option<u32>,
    left_out: Vec<LeftOut>,
}

/// TLS 1.3 says its group at once; of the older versions the newest that chooses one speaks for all.
async fn exchanges(server: &impl Ask, taken: &[&Version]) -> Exchanges {
    let newest = taken.iter().find(|version| version.number == TLS_1_3);
    let chooses = |version: &&&Version| version.number < TLS_1_3 && version.number > SSL_3_0;
    let older = taken.iter().filter(chooses).find(|version| takes_any(version, catalogue::is_ecdhe));
    let dhe = taken
        .iter()
        .filter(|version| version.number < TLS_1_3)
        .find(|version| takes_any(version, catalogue::is_dhe));
    let asked =
        newest.into_iter().chain(older).map(async |version| (version.number, groups(server, version).await));
    let bits = async { diffie_hellman_bits(server, dhe?).await };
    let (found, bits) = join(join_all(asked), bits).await;

    let mut exchanges = Exchanges { diffie_hellman_bits: bits, ..Exchanges::default() };
    exchanges.groups_are_known = !found.is_empty() && found.iter().all(|(_, found)| found.given_up.is_none());
    for (number, Eliminated { taken, given_up }) in found {
        let more = taken.into_iter().filter(|group| !exchanges.groups.contains(group)).collect::<Vec<_>>();
        exchanges.groups.extend(more);
        let name = names::version(number);
        exchanges.left_out.extend(given_up.map(|reason| left_out_of("the groups", &name, reason)));
    }
    exchanges
}

/// Without a share TLS 1.3 answers with the group that it asks for; older versions name it in their own share.
async fn groups(server: &impl Ask, version: &Version) -> Eliminated {
    let number = version.number;
    let suites: Vec<u16> = if number == TLS_1_3 {
        version.suites.clone()
    } else {
        version.suites.iter().copied().filter(|&suite| catalogue::is_ecdhe(suite)).collect()
    };
    if version.given_up.is_some() {
        return Eliminated { given_up: version.given_up.clone(), ..Eliminated::default() };
    }
    eliminate(catalogue::groups(number), async |offered| {
        let groups = offered.to_vec();
        let offer = HelloOffer { groups, key_shares: Vec::new(), ..offer(number, suites.clone()) };
        let answered = server.ask(offer, Until::KeyExchange).await;
        let group = chosen_suite(&answered.answer, number).and_then(|_| group_of(&answered));
        if group.is_none() && matches!(answered.answer, HelloAnswer::Accepted(_)) {
            return Choice::Unanswered("the server did not say which one it chose".to_owned());
        }
        choice(&answered.answer, group)
    })
    .await
}

fn group_of(answered: &Answered) -> Option<u16> {
    let HelloAnswer::Accepted(hello) = &answered.answer else { return None };
    let in_hello = hello.key_share_group.as_ref();
    let in_exchange = || answered.key_exchange.as_ref().and_then(|exchange| exchange.named_curve.as_ref());
    in_hello.or_else(in_exchange).map(|group| group.id)
}

async fn diffie_hellman_bits(server: &impl Ask, version: &Version) -> Option<u32> {
    if version.given_up.is_some() {
        return None;
    }
    let suites = version.suites.iter().copied().filter(|&suite| catalogue::is_dhe(suite)).collect();
    let answered = server.ask(offer(version.number, suites), Until::KeyExchange).await;
    answered.key_exchange?.diffie_hellman_bits
}

/// A hello of one version alone.
fn offer(number: u16, suites: Vec<u16>) -> HelloOffer {
    let tls_1_3 = number == TLS_1_3;
    HelloOffer {
        legacy_version: number.min(TLS_1_2),
        versions: if tls_1_3 { vec![TLS_1_3] } else { Vec::new() },
        suites,
        groups: catalogue::groups(number),
        key_shares: if tls_1_3 { SHARES.to_vec() } else { Vec::new() },
        signature_schemes: if number >= TLS_1_2 { SIGNATURE_SCHEMES.to_vec() } else { Vec::new() },
        ..HelloOffer::default()
    }
}

/// What clients offer and no version took, where all of it was asked for.
fn refused(taken: &[&Version], exchanges: &Exchanges) -> Vec<CodePoint> {
    let mut refused: Vec<u16> = Vec::new();
    let is_taken = |suite: &u16| taken.iter().any(|version| version.suites.contains(suite));
    for version in taken.iter().filter(|version| version.given_up.is_none()) {
        for suite in catalogue::usual(version.number) {
            if !is_taken(&suite) && !refused.contains(&suite) {
                refused.push(suite);
            }
        }
    }
    let groups =
        USUAL_GROUPS.iter().filter(|group| exchanges.groups_are_known && !exchanges.groups.contains(group));
    suites(&refused).into_iter().chain(groups.copied().map(names::named_group)).collect()
}

fn suites(ids: &[u16]) -> Vec<CodePoint> {
    ids.iter().copied().map(names::cipher_suite).collect()
}

fn takes_any(version: &Version, is: fn(u16) -> bool) -> bool {
    version.suites.iter().any(|&suite| is(suite))
}

fn left_out_of(what: &str, version: &str, reason: String) -> LeftOut {
    LeftOut { check: format!("{what} of {version}"), reason }
}

//! A name to its addresses, by the system's own resolver, because that is what mstsc asks as well.

use super::target::Target;
use std::io;
use std::net::{IpAddr, SocketAddr};

/// Every address of `target`, in the order in which they are to be tried. An address needs no look-up.
pub async fn resolve(target: &Target) -> io::Result<Vec<SocketAddr>> {
    if let Some(ip) = target.ip() {
        return Ok(vec![SocketAddr::new(ip, target.port)]);
    }
    let found: Vec<SocketAddr> =
        tokio::net::lookup_host((target.host.as_str(), target.port)).await?.collect();
    if found.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the name exists but has no address"));
    }
    Ok(interleave(found))
}

/// RFC 8305, section 4: the families in turn, beginning with the one that the resolver put first.
fn interleave(found: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let mut unique: Vec<SocketAddr> = Vec::with_capacity(found.len());
    for address in found {
        if !unique.contains(&address) {
            unique.push(address);
        }
    }
    let v6_first = unique.first().is_some_and(|address| matches!(address.ip(), IpAddr::V6(_)));
    let (first, second): (Vec<_>, Vec<_>) =
        unique.into_iter().partition(|address| address.is_ipv6() == v6_first);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut ordered = Vec::new();
    loop {
        let pair = [first.next(), second.next()];
        if pair.iter().all(Option::is_none) {
            return ordered;
        }
        ordered.extend(pair.into_iter().flatten());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_alternate_and_the_resolvers_choice_comes_first() {
        let addresses =
            |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<SocketAddr>>();
        let found = addresses(&["[2001:db8::1]:1", "[2001:db8::2]:1", "10.0.0.1:1", "10.0.0.1:1"]);
        assert_eq!(interleave(found), addresses(&["[2001:db8::1]:1", "10.0.0.1:1", "[2001:db8::2]:1"]));
        assert_eq!(interleave(addresses(&["10.0.0.1:1"])), addresses(&["10.0.0.1:1"]));
    }

    #[tokio::test]
    async fn an_address_is_its_own_answer() {
        let target: Target = "127.0.0.1:3390".parse().unwrap();
        assert_eq!(resolve(&target).await.unwrap(), ["127.0.0.1:3390".parse::<SocketAddr>().unwrap()]);
    }
}

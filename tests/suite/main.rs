//! The integration tests: the built program between real peers and scripted ones.

#[cfg(test)]
#[path = "../support/mod.rs"]
mod support;

#[cfg(all(test, target_os = "linux"))]
mod ab;
#[cfg(test)]
mod analyze;
#[cfg(test)]
mod architecture;
#[cfg(all(test, target_os = "linux"))]
mod bundle;
#[cfg(test)]
mod capture_reading;
#[cfg(test)]
mod capture_tls;
#[cfg(test)]
mod captures;
#[cfg(test)]
mod cert;
#[cfg(test)]
mod cli;
#[cfg(all(test, target_os = "linux"))]
mod dashboard;
#[cfg(all(test, target_os = "linux"))]
mod documents;
#[cfg(all(test, target_os = "linux"))]
mod fault_lab;
#[cfg(all(test, target_os = "linux"))]
mod flood;
#[cfg(test)]
mod fuzz_regression;
#[cfg(all(test, target_os = "linux"))]
mod gateway;
#[cfg(all(test, target_os = "linux"))]
mod gateway_peers;
#[cfg(test)]
mod harness;
#[cfg(all(test, unix))]
mod impair;
#[cfg(all(test, target_os = "linux"))]
mod interception;
#[cfg(all(test, unix))]
mod interception_flags;
#[cfg(all(test, target_os = "linux"))]
mod interception_input;
#[cfg(all(test, target_os = "linux"))]
mod interception_legacy;
#[cfg(all(test, target_os = "linux"))]
mod interception_relay;
#[cfg(all(test, target_os = "linux", feature = "nla"))]
mod kerberos;
#[cfg(all(test, target_os = "linux"))]
mod memory;
#[cfg(all(test, target_os = "linux"))]
mod network;
#[cfg(all(test, target_os = "linux", feature = "nla"))]
mod nla;
#[cfg(test)]
mod observer_limits;
#[cfg(test)]
mod otlp;
#[cfg(all(test, target_os = "linux"))]
mod peers;
#[cfg(all(test, target_os = "linux"))]
mod probe;
#[cfg(test)]
mod probe_cli;
#[cfg(all(test, target_os = "linux"))]
mod probe_gateway;
#[cfg(all(test, target_os = "linux"))]
mod probe_issues;
#[cfg(all(test, target_os = "linux"))]
mod probe_network;
#[cfg(all(test, target_os = "linux"))]
mod probe_nmap;
#[cfg(all(test, target_os = "linux"))]
mod probe_paths;
#[cfg(all(test, target_os = "linux"))]
mod probe_tls;
#[cfg(test)]
mod probe_udp;
#[cfg(test)]
mod rdp_file;
#[cfg(all(test, target_os = "linux"))]
mod recording;
#[cfg(test)]
mod relay_properties;
#[cfg(test)]
mod report;
#[cfg(all(test, target_os = "linux"))]
mod run;
#[cfg(test)]
mod schema;
#[cfg(test)]
mod scripted;
#[cfg(all(test, target_os = "linux"))]
mod security;
#[cfg(all(test, target_os = "linux"))]
mod slow_loris;
#[cfg(all(test, target_os = "linux"))]
mod surroundings;
#[cfg(test)]
mod udp;
#[cfg(test)]
mod upstream_proxy;
#[cfg(all(test, target_os = "linux"))]
mod windows;

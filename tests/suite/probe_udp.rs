//! `probe` asks a server by UDP: each version of a SYN, and a hello over what it opens.

use crate::support::scripted::udp::{UdpEnd, Version};
use rdpscope::probe::{Settings, probe};
use rdpscope::relay::target::Target;
use rdpscope::trace::{HelloAnswer, UdpAnswer, UdpCheck};
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;


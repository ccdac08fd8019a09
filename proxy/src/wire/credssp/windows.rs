//! Which Windows a build number belongs to. A client and a server share a build; what is known of the end decides.

use super::ntlm::WindowsVersion;

/// A build with the release of the client system and of the server system, where there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Release {
    /// ProductBuild.
    pub build: u16,
    /// The system for desktops.
    pub client: Option<&'static str>,
    /// The system for servers.
    pub server: Option<&'static str>,
}

const fn release(build: u16, client: Option<&'static str>, server: Option<&'static str>) -> Release {
    Release { build, client, server }
}

/// Builds that were released, from XP with the first NLA to 2025.
pub const RELEASES: &[Release] = &[
    release(2600, Some("Windows XP"), None),
    release(3790, Some("Windows XP x64"), Some("Windows Server 2003")),
    release(6000, Some("Windows Vista"), None),
    release(6001, Some("Windows Vista SP1"), Some("Windows Server 2008")),
    release(6002, Some("Windows Vista SP2"), Some("Windows Server 2008 SP2")),
    release(6003, None, Some("Windows Server 2008 SP2")),
    release(7600, Some("Windows 7"), Some("Windows Server 2008 R2")),
    release(7601, Some("Windows 7 SP1"), Some("Windows Server 2008 R2 SP1")),
    release(9200, Some("Windows 8"), Some("Windows Server 2012")),
    release(9600, Some("Windows 8.1"), Some("Windows Server 2012 R2")),
    release(10240, Some("Windows 10 1507"), None),
    release(10586, Some("Windows 10 1511"), None),
    release(14393, Some("Windows 10 1607"), Some("Windows Server 2016")),
    release(15063, Some("Windows 10 1703"), None),
    release(16299, Some("Windows 10 1709"), Some("Windows Server 1709")),
    release(17134, Some("Windows 10 1803"), Some("Windows Server 1803")),
    release(17763, Some("Windows 10 1809"), Some("Windows Server 2019")),
    release(18362, Some("Windows 10 1903"), Some("Windows Server 1903")),
    release(18363, Some("Windows 10 1909"), Some("Windows Server 1909")),
    release(19041, Some("Windows 10 2004"), Some("Windows Server 2004")),
    release(19042, Some("Windows 10 20H2"), Some("Windows Server 20H2")),
    release(19043, Some("Windows 10 21H1"), None),
    release(19044, Some("Windows 10 21H2"), None),
    release(19045, Some("Windows 10 22H2"), None),
    release(20348, None, Some("Windows Server 2022")),
    release(22000, Some("Windows 11 21H2"), None),
    release(22621, Some("Windows 11 22H2"), None),
    release(22631, Some("Windows 11 23H2"), None),
    release(25398, None, Some("Windows Server 23H2")),
    release(26100, Some("Windows 11 24H2"), Some("Windows Server 2025")),
    release(26200, Some("Windows 11 25H2"), None),
];

impl WindowsVersion {
    /// The release with this build; `None` where it is none that was released.
    pub fn release(&self) -> Option<&'static Release> {
        RELEASES.iter().find(|release| release.build == self.build)
    }

    /// `Windows Server 2022, build 20348`. Most builds of a server system are those of a client system too.
    pub fn words(&self) -> String {
        let WindowsVersion { major, minor, build } = self;
        let Some(release) = self.release() else {
            return format!("a Windows {major}.{minor} of no known release, build {build}");
        };
        let names: Vec<&str> = [release.server, release.client].into_iter().flatten().collect();
        format!("{}, build {build}", names.join(" or "))
    }
}

//! stub
pub(super) fn read(
    _: Option<&std::path::Path>,
) -> Result<crate::intercept::credssp::Credentials, super::Failure> {
    Err(super::Failure::usage("not built in"))
}

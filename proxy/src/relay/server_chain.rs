//! stub
pub async fn fetch(
    _: &super::session::Route,
    _: &crate::intercept::settings::InterceptionSettings,
) -> Result<Vec<Vec<u8>>, String> {
    Err("stub".into())
}

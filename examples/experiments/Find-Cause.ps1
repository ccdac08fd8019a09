<#
.SYNOPSIS
From "it does not connect" to a proof, with mstsc.

.DESCRIPTION
Probes the server, runs the experiment that the verdict asks for, opens mstsc for each attempt, and writes report.html
and evidence.zip into a folder of their own. The exit code is that of the last step: 0 healthy, 1 a fault, 3 not done.

.EXAMPLE
powershell -ExecutionPolicy Bypass -File .\Find-Cause.ps1 srv10.corp.example
#>
param(
    [Parameter(Mandatory = $true)] [string] $Server,
    [string] $Client = 'mstsc /v:{host}:{port}',
    [string] $Rdpscope = 'rdpscope'
)
$ErrorActionPreference = 'Stop'
# What rdpscope writes to a pipe is UTF-8, and PowerShell reads it as what the console has.
[Console]::OutputEncoding = [Text.Encoding]::UTF8

$folder = (New-Item -ItemType Directory -Path (Join-Path (Get-Location) ('rdpscope-' + (Get-Date -Format 'yyyyMMdd-HHmmss')))).FullName
$probe = Join-Path $folder 'probe.jsonl'
$lines = & $Rdpscope probe $Server --json --quiet
$status = $LASTEXITCODE
if ($status -gt 1) { exit $status }
[IO.File]::WriteAllLines($probe, [string[]] $lines)
$verdict = ($lines | ForEach-Object { $_ | ConvertFrom-Json } | Where-Object { $_.type -eq 'verdict' }).id
& $Rdpscope report $probe

# What a probe cannot decide, an experiment does.
$factor = switch -Regex ($verdict) {
    '^certificate-|^tls-inspected$|^healthy$' { 'cert'; break }
    '^nla-' { 'nla'; break }
    '^tls-stalled$|^link-lossy$' { 'mss'; break }
    '^tls-' { 'tls'; break }
    '^dns-mismatch$' { 'address'; break }
}
if ($factor) {
    Write-Host "The next step: is it the ${factor}?"
    $traces = Join-Path $folder 'traces'
    & $Rdpscope ab $Server --vary $factor --trace $traces --ca (Join-Path $folder 'ca') --client $Client
    $status = $LASTEXITCODE
    & $Rdpscope report $traces -o (Join-Path $folder 'report.html')
    & $Rdpscope bundle $traces -o (Join-Path $folder 'evidence.zip')
}
else {
    & $Rdpscope report $probe -o (Join-Path $folder 'report.html')
}
Invoke-Item (Join-Path $folder 'report.html')
exit $status

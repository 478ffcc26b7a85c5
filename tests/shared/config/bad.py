# ruff: noqa: E501 (a problem is one line, however long)
"""Configurations that are refused, each with the one line that must say why. They stand below the small example."""

from tests.shared.config.examples import FOLDER

D = '[[destination]]\nname = "d"\nae_title = "D"\nhost = "h"\nport = 1\n'
S = '[[source]]\nname = "s"\nae_title = "S"\n'
R = '[[route]]\nname = "r"\n'
TO = R + 'to = ["archive"]\n'
P = "[profile.p]\n"
T = '[ingress.tls]\nlisten = ["127.0.0.1:2762"]\ncertificate = "c"\nkey = "k"\nca = "a"\n'
C = '[relay]\ntimezone = "UTC"\n[calendar.c]\n'
N = '[[notify]]\nname = "n"\non = ["late"]\n'
SMTP = N + 'kind = "smtp"\nhost = "mail.example"\nfrom = "r@h.example"\nto = ["p@h.example"]\n'
HOOK = N + 'kind = "webhook"\n'
CMD = N + 'kind = "command"\n'
OPTIONS_OF_DATES = '["retain-longitudinal-full-dates", "retain-longitudinal-modified-dates"]'

BAD = [
    # numbers, words and tables of the wrong kind
    (D.replace("1\n", '"0104"'), "destination 'd' key port: '0104' is not a whole number; write 104 without quotes"),
    (D.replace("1\n", "1.5"), "destination 'd' key port: 1.5 is not a whole number; write digits without quotes"),
    (D.replace("1\n", "true"), "destination 'd' key port: true is not a whole number; write digits without quotes"),
    (D.replace("1\n", "0"), "destination 'd' key port: 0 must be at least 1"),
    (D.replace("1\n", "70000"), "destination 'd' key port: 70000 must be at most 65535"),
    (D.replace("port = 1\n", ""), "destination 'd' key port: is missing; add it, for example port = 104"),
    (D.replace('"D"', "false"), "destination 'd' key ae_title: false must be text in quotes, such as \"ARCHIVE\""),
    (D.replace('"d"', "5"), 'destination number 3 key name: 5 must be text in quotes, such as "archive"'),
    (
        D + 'deidentified_only = "yes"',
        "destination 'd' key deidentified_only: 'yes' must be true or false, without quotes",
    ),
    (D + "retry = 5", "destination 'd' key retry: 5 must be a table of keys and values"),
    (D + 'tls = { name = "x" }', "destination 'd' key tls.ca: is missing; add it"),
    (R + 'to = "archive"', "route 'r' key to: 'archive' must be a list in square brackets, such as [\"archive\"]"),
    (R + 'one_of = ["archive"]', "route 'r' key one_of: 'archive' must be a table of keys and values"),
    ('[[spool]]\nretention = "7d"', "[[spool]]: must be one table, [spool]"),
    # unknown keys and words
    ("[relai]\nx = 1", "[relai]: is not known here; did you mean 'relay'?"),
    ('[[routes]]\nname = "x"', "[[routes]]: is not known here; did you mean 'route'?"),
    ('[broker]\npassword = "s3cret"', "[broker] key password: is not known here; did you mean 'password_file'?"),
    ("[spool]\nx = 1", "[spool] key x: is not known here; known are retention, optional_max, scrub_rate"),
    (D + 'retry = { fist = "1s" }', "destination 'd' key retry.fist: is not known here; did you mean 'first'?"),
    (TO + "lst = true", "route 'r' key lst: is not known here; did you mean 'last'?"),
    (D + 'verify = "cfind"', "destination 'd' key verify: 'cfind' is not known here; did you mean 'c-find'?"),
    (D + 'transcode = "yes"', "destination 'd' key transcode: 'yes' is not known here; known are 'never', 'lossless'"),
    (TO + 'priority = "high"', "route 'r' key priority: 'high' is not known here; known are 'routine', 'urgent'"),
    ('[ingress]\nplain = "yes"', "[ingress] key plain: 'yes' can only be 'vpn' here"),
    (P + 'base = "none"', "profile 'p' key base: 'none' can only be 'basic' here"),
    (
        P + 'options = ["retain-uid"]',
        "profile 'p' key options: 'retain-uid' is not known here; did you mean 'retain-uids'?",
    ),
    (
        P + 'objects = { dose = "drop" }',
        "profile 'p' key objects.dose: 'dose' is not known here; did you mean 'dose_sr'?",
    ),
    ('[spool]\n"a\\nb" = 1', "[spool] key 'a\\nb': is not known here; known are retention, optional_max, scrub_rate"),
    # who tells a person
    (N, "notify 'n' key kind: is missing; add it"),
    (N + 'kind = "mail"', "notify 'n' key kind: 'mail' is not known here; known are 'smtp', 'webhook', 'command'"),
    (
        CMD.replace('"late"', '"dead"') + 'command = ["/bin/true"]',
        "notify 'n' key on: 'dead' is not known here; known are 'dead_letter', 'destination_down', 'handed_over', 'disk_low', 'late', 'addendum', 'stuck', 'commitment', 'configuration'",
    ),
    (
        CMD.replace('"late"', "") + 'command = ["/bin/true"]',
        "notify 'n' key on: an empty list allows nothing; name what you mean, or leave the key out",
    ),
    (
        SMTP.replace('host = "mail.example"\n', ""),
        "notify 'n' key host: is missing; add it, for example host = \"mail.example\"",
    ),
    (
        SMTP.replace('from = "r@h.example"\n', ""),
        "notify 'n' key from: is missing; add it, for example from = \"relay@hospital.example\"",
    ),
    (
        SMTP.replace('to = ["p@h.example"]\n', ""),
        "notify 'n' key to: is missing; add it, for example to = [\"pacs@hospital.example\"]",
    ),
    (
        SMTP.replace("p@h.example", "Ann <p@h.example>"),
        "notify 'n' key to: 'Ann <p@h.example>' is not a mail address; write it like \"pacs@hospital.example\"",
    ),
    (SMTP + 'user = "relay"', "notify 'n' key password_file: is missing; add it, or remove user"),
    (SMTP + 'password_file = "secret"', "notify 'n' key user: is missing; add it, or remove password_file"),
    (
        SMTP + 'security = "none"\nuser = "relay"\npassword_file = "secret"',
        'notify \'n\' key security: is "none", so the password would go in the clear; write "starttls" or "tls", or remove user',
    ),
    (
        SMTP + 'security = "ssl"',
        "notify 'n' key security: 'ssl' is not known here; known are 'starttls', 'tls', 'none'",
    ),
    (
        SMTP + 'url = "https://h.example/x"',
        'notify \'n\' key url: belongs to kind = "webhook", and this one is "smtp"; remove it',
    ),
    (HOOK, "notify 'n' key url: is missing; add it, or name a file with it in url_file, such as \"/run/secrets/hook\""),
    (
        HOOK + 'url = "https://h.example/x"\nurl_file = "u"',
        "notify 'n' key url: is given, and url_file too; keep one of them",
    ),
    (HOOK + 'url = "http://h.example/x"', "notify 'n' key url: goes in the clear to another machine; write https://"),
    (
        HOOK + 'url = "https://u:s3cret@h.example/x"',
        "notify 'n' key url: holds a password; take it out of this file and name a file with it in password_file",
    ),
    (
        HOOK + 'url = "ftp://h.example/x"',
        "notify 'n' key url: must begin with https:// or http://, like \"https://relay@host.example/name\"",
    ),
    (CMD, 'notify \'n\' key command: is missing; add it, for example command = ["/usr/local/bin/page", "pacs"]'),
    (
        CMD + 'command = "page pacs"',
        "notify 'n' key command: 'page pacs' must be a list of the program and each of its arguments, such as [\"/usr/local/bin/page\", \"pacs\"]",
    ),
    (
        CMD + 'command = ["/bin/page", "a\\u0007b"]',
        "notify 'n' key command: 'a\\x07b' must be at most 4096 characters without control characters",
    ),
    (
        CMD + 'command = ["/bin/true"]\nevery = "15"',
        "notify 'n' key every: '15' is not a duration; write a number and ms, s, m, h or d, such as \"30s\"",
    ),
    (
        CMD + 'command = ["/bin/true"]\n' + CMD + 'command = ["/bin/true"]',
        "notify 'n' key name: 'n' is used 2 times; names must differ",
    ),
    (
        D + 'alert_after = "0"',
        "destination 'd' key alert_after: '0' is not a duration; write a number and ms, s, m, h or d, such as \"30s\"",
    ),
    (TO + "accepted_within = 10", "route 'r' key accepted_within: 10 must be text in quotes, such as \"30s\""),
    # storage commitment
    (
        S + 'commitment = { by = "archve" }',
        "source 's' key commitment.by: destination 'archve' is not configured; did you mean 'archive'?",
    ),
    (
        S + 'commitment = { by = "archive" }' + "\n" + D,
        (
            "source 's' key commitment.by: no route brings what 's' sends to 'archive' under its SOP Instance UIDs; "
            "add one without profile, and with correction = true if it has an edit"
        ),
    ),
    (
        S + 'commitment = { by = "d" }\n' + D + "deidentified_only = true",
        "source 's' key commitment.by: 'd' takes nothing as it was received; name a destination that keeps the originals",
    ),
    (
        S + 'commitment = { by = "archive", at = 1 }\n' + TO,
        "source 's' key commitment.at: is not known here; known are by, within, port, host, ae_title, tls",
    ),
    (
        S + 'commitment = { by = "archive", tls = { name = "x", ca = "a", key = "k" } }\n' + TO,
        "source 's' key commitment.tls.certificate: is missing; add it, or remove commitment.tls.key",
    ),
    (
        D + 'verify = "storage-commitment"\ncalling_ae_title = "{source}"',
        'destination \'d\' key calling_ae_title: cannot be "{source}" with verify = "storage-commitment", as the answer comes to that AE title; write one, or verify = "c-find"',
    ),
    # names, titles, addresses, times
    (
        D.replace('"d"', '"D_1"'),
        "destination 'D_1' key name: 'D_1' is not a name; use 1 to 63 of a-z, 0-9 and \"-\", not beginning with \"-\"",
    ),
    ("[profile.X]", "profile 'X': 'X' is not a name; use 1 to 63 of a-z, 0-9 and \"-\", not beginning with \"-\""),
    (
        '[relay]\nae_title = "SEVENTEEN LETTERS"',
        "[relay] key ae_title: 'SEVENTEEN LETTERS' has 17 characters; an AE title has at most 16",
    ),
    (
        S.replace('"S"', '"*"'),
        "source 's' key ae_title: '*' is not accepted here, every sender is named; write one [[source]] per AE title",
    ),
    (
        '[relay]\ntimezone = "Europe/Lisboa"',
        "[relay] key timezone: 'Europe/Lisboa' is not an IANA time zone, such as \"Europe/Lisbon\"; did you mean 'Europe/Lisbon'?",
    ),
    ("[relay]\nfollow = 7", '[relay] key follow: 7 must be text in quotes, such as "30s"'),
    ('[relay]\ndata_dir = ""', "[relay] key data_dir: '' must be a path in quotes, such as \"var\""),
    (
        '[ingress]\nquiet = "30"',
        "[ingress] key quiet: '30' is not a duration; write a number and ms, s, m, h or d, such as \"30s\"",
    ),
    ("[ingress]\nquiet = 20:00:00", '[ingress] key quiet: 20:00:00 must be text in quotes, such as "30s"'),
    ("[ingress]\nmin_free = 1000", '[ingress] key min_free: 1000 must be text in quotes, such as "10GB"'),
    ("[ingress]\nmax_associations = 0", "[ingress] key max_associations: 0 must be at least 1"),
    (
        '[metrics]\nlisten = "9400"',
        '[metrics] key listen: \'9400\' is not an address; write host:port, such as "127.0.0.1:11112" or "[::1]:104"',
    ),
    ("[spool]\noptional_max = 20", '[spool] key optional_max: 20 must be text in quotes, such as "20%"'),
    (
        D + 'send_during = "office"',
        "destination 'd' key send_during: calendar 'office' is not configured; no calendar is",
    ),
    (
        D + 'max_rate = [{ rate = "1MB/s", during = "office" }]',
        "destination 'd' key max_rate[1].during: calendar 'office' is not configured; no calendar is",
    ),
    (
        D + "max_rate = 5",
        "destination 'd' key max_rate: 5 must be a rate such as \"160Mbit/s\", or a list of { rate, during }",
    ),
    (
        D + 'max_rate = "fast"',
        "destination 'd' key max_rate: 'fast' is not a rate; write it as \"160Mbit/s\" or \"20MB/s\"",
    ),
    (
        D.replace('"h"', '"h h"'),
        "destination 'd' key host: 'h h' is not a host name or an IP address, such as \"10.1.2.3\" or \"pacs.example\"",
    ),
    (
        S + 'hosts = ["10.0.0.1/8"]',
        "source 's' key hosts: '10.0.0.1/8' has bits set after its /8; write \"10.0.0.0/8\"",
    ),
    (S + "hosts = []", "source 's' key hosts: an empty list allows nothing; name what you mean, or leave the key out"),
    (
        C + 'open = ["mon 8-20"]',
        "calendar 'c' key open: 'mon 8-20' is not a window; write days and times, such as \"mon-fri 08:00-20:00\"",
    ),
    (
        C + 'open = ["mon 08:00-09:00"]\nclosed_on = ["25.12.2026"]',
        "calendar 'c' key closed_on: '25.12.2026' is not a date; write year-month-day, such as \"2026-12-25\"",
    ),
    (
        C + 'open = ["mon 08:00-09:00"]\nclosed_on = ["holidays.ics"]',
        "calendar 'c' key closed_on: '/srv/relay/holidays.ics' cannot be read (No such file or directory); name a file that is there",
    ),
    (
        C + 'open = ["mon 08:00-09:00"]\nclosed_on = ["2026-12-25", 2027-01-01]\nalso_open_on = ["2027-01-01"]',
        "calendar 'c' key closed_on: 2027-01-01 is in also_open_on too; keep it in one of them",
    ),
    # DICOM keywords and what is written to them
    (
        TO + 'match = { modality = "CT" }',
        "route 'r' key match.modality: 'modality' is neither a key of the relay (source, called, host, count, weekday, time, sop_class, instances) nor a DICOM keyword; did you mean 'Modality'?",
    ),
    (
        TO + "match = { SeriesNumber = 5 }",
        'route \'r\' key match.SeriesNumber: 5 must be text or a list of texts, such as "CT*" or ["CT", "MR"]',
    ),
    (
        TO + "match = { Modality = [] }",
        "route 'r' key match.Modality: an empty list allows nothing; name what you mean, or leave the key out",
    ),
    # checks
    (
        '[[check]]\nname = "c"',
        "check 'c': asks nothing; add require, pattern, values, dates, one_patient_per_study or unchanged",
    ),
    (
        '[[check]]\nname = "c"\nrequire = ["PixelData"]',
        "check 'c' key require: PixelData has VR OB or OW, which cannot be compared with text; choose another element",
    ),
    (
        '[[check]]\nname = "c"\ndates = ["StudyTime"]',
        "check 'c' key dates: StudyTime has VR TM, which is no date; name an element of VR DA, such as \"StudyDate\"",
    ),
    (
        '[[check]]\nname = "c"\nvalues = { StationName = "CT-1" }',
        "check 'c' key values.StationName: 'CT-1' must be a list of texts, such as [\"CT-1\"], or a file, such as \"stations.csv\"",
    ),
    (
        '[[check]]\nname = "c"\nvalues = { StationName = [] }',
        "check 'c' key values.StationName: an empty list allows nothing; name what you mean, or leave the key out",
    ),
    (
        '[[check]]\nname = "c"\nrequire = ["PatientID"]\nmatch = { instances = "all" }',
        "check 'c' key match.instances: has no meaning here, a check looks at every instance that its match fits; remove it",
    ),
    (
        '[[check]]\nname = "c"\npattern = { StationName = "^MR" }\nvalues = { StationName = ["CT-1"] }',
        "check 'c' key pattern.StationName: fits no value that values lists for StationName, so every instance fails; correct one of them",
    ),
    (
        '[[check]]\nname = "c"\nunchanged = ["PatientId"]',
        "check 'c' key unchanged: 'PatientId' is not a DICOM keyword; did you mean 'PatientID'?",
    ),
    (
        '[[source]]\nname = "s"\nae_title = "S"\non_changed = "drop"',
        "source 's' key on_changed: 'drop' is not known here; known are 'forward', 'hold'",
    ),
    (
        '[[check]]\nname = "c"\nrequire = ["PatientId"]',
        "check 'c' key require: 'PatientId' is not a DICOM keyword; did you mean 'PatientID'?",
    ),
    (
        '[[check]]\nname = "c"\npattern = { PatientID = "(" }',
        "check 'c' key pattern.PatientID: '(' is not a regular expression; look at its brackets and backslashes",
    ),
    (
        '[edit.e]\nset = { InstitutionName = "{Modalit}" }',
        "edit 'e' key set.InstitutionName: 'Modalit' is not a DICOM keyword; did you mean 'Modality'?",
    ),
    (
        "[edit.e]\nremove = ['(0009,0010)']",
        "edit 'e' key remove[1].keyword: (0009,0010) is a group length or a private creator; name the element that you mean",
    ),
    (
        '[edit.e]\nset = { StudyInstanceUID = "1.2" }',
        "edit 'e': StudyInstanceUID is a UID or describes the pixel data; write allow = [\"StudyInstanceUID\"] if you mean to change it",
    ),
    (
        '[edit.e]\nset = { Rows = "1" }',
        "edit 'e': Rows is a UID or describes the pixel data; write allow = [\"Rows\"] if you mean to change it",
    ),
    (
        '[edit.e]\nallow = ["SOPInstanceUID"]\nset = { SOPInstanceUID = "1.2" }',
        "edit 'e' key set.SOPInstanceUID: SOPInstanceUID names the instance itself, and the relay sees to it; see correction in a route",
    ),
    (
        '[edit.e]\nset = { PixelData = "x" }',
        "edit 'e' key set.PixelData: PixelData belongs to the pixel data, which no edit touches",
    ),
    (
        '[edit.e]\nset = { Modality = "x" }\nremove = ["Modality"]',
        "edit 'e': changes 'Modality' twice; keep one of them",
    ),
    (
        '[edit.e]\nset = { ReferencedStudySequence = "x" }',
        "edit 'e' key set.ReferencedStudySequence: ReferencedStudySequence has VR SQ, which cannot take text; choose a text or number element, or remove it",
    ),
    (
        '[edit.e]\nset = { Modality.PatientID = "x" }',
        "edit 'e' key set.Modality.PatientID: 'Modality' is no sequence, so nothing is in it; write the keyword of a sequence",
    ),
    (
        '[edit.e]\nreplace = { Modality = { regex = "(" } }',
        "edit 'e' key replace.Modality[1].regex: '(' is not a regular expression; look at its brackets and backslashes",
    ),
    (
        '[edit.e]\nlookup = { Modality = { file = "no-such.csv", by = "{Modality}" } }',
        f"edit 'e' key lookup.Modality: {FOLDER / 'no-such.csv'} cannot be read (No such file or directory); write the path of a CSV file, relative to this one",
    ),
    (
        TO + "correction = true",
        "route 'r' key correction: is said of nothing, because there is no edit; remove it",
    ),
    ("[edit.e]\nremove = [5]", "edit 'e' key remove: must be a keyword or { private = \"CREATOR\" }"),
    (
        P + 'pseudonyms = { PatientID = "HX" }',
        "profile 'p' key pseudonyms: PatientID: 'HX' must hold one {key:N}, such as \"HX{key:12}\"",
    ),
    (
        P + 'pseudonyms = { AccessionNumber = "HX{key:15}" }',
        "profile 'p' key pseudonyms: AccessionNumber: 'HX{key:15}' makes 17 characters; an element of VR SH holds 16",
    ),
    (
        P + 'pseudonyms = { PatientName = "{key:3}" }',
        "profile 'p' key pseudonyms: PatientName: '{key:3}': N of {key:N} is 4 to 52",
    ),
    (
        P + 'set_after = { InstitutionName = "a\\\\b" }',
        "profile 'p' key set_after: InstitutionName: 'a\\\\b' may hold no backslash, which separates values, and no control character",
    ),
    (
        P + 'key_file = "../key"',
        "profile 'p' key key_file: '../key' must be a plain name inside data_dir, such as \"pseudonym.key\"",
    ),
    (
        P + f"options = {OPTIONS_OF_DATES}",
        "profile 'p' key options: retain-longitudinal-full-dates and retain-longitudinal-modified-dates exclude each other; keep one",
    ),
    # what a key of a match table cannot be asked
    (
        TO + 'match = { count = "5" }',
        "route 'r' key match.count: cannot be asked patterns; write for example { at_least = 100 }",
    ),
    (TO + "match = { count = { above = nan } }", "route 'r' key match.count.above: nan must be a number that ends"),
    (
        TO + 'match = { Rows = { at_least = "5" } }',
        "route 'r' key match.Rows.at_least: '5' must be a number, without quotes",
    ),
    (
        TO + 'match = { weekday = "mon-fir" }',
        "route 'r' key match.weekday: 'mon-fir': 'fir' is not one of mon, tue, wed, thu, fri, sat, sun; did you mean 'fri'?",
    ),
    (
        TO + 'match = { time = "8-9" }',
        "route 'r' key match.time: '8-9' is not a time of day from and to; write for example \"20:00-08:00\"",
    ),
    (
        TO + 'match = { time = "08:00-08:00" }',
        "route 'r' key match.time: '08:00-08:00' holds no minute; write for example \"20:00-08:00\"",
    ),
    (
        TO + 'match = { host = "10.0.0.1/8" }',
        "route 'r' key match.host: '10.0.0.1/8' has bits set after its /8; write \"10.0.0.0/8\"",
    ),
    (
        TO + 'match = { sop_class = "CTImagStorage" }',
        "route 'r' key match.sop_class: 'CTImagStorage' is no SOP class; write a UID or a name, such as \"CTImageStorage\"; did you mean 'CTImageStorage'?",
    ),
    (
        TO + 'match = { instances = "every" }',
        "route 'r' key match.instances: 'every' is not known here; write \"any\" (the default) or \"all\"",
    ),
    (
        TO + "match = { source = { present = true } }",
        "route 'r' key match.source: cannot be asked present; write a name, a list of names, not or regex",
    ),
    (
        TO + "match = { Modality = {} }",
        "route 'r' key match.Modality: asks nothing; write for example { present = true }",
    ),
    (
        TO + 'match = { Modality = { regx = "C" } }',
        "route 'r' key match.Modality.regx: is not known here; did you mean 'regex'?",
    ),
    (
        TO + 'match = { Modality = { regex = "(?=C)T" } }',
        "route 'r' key match.Modality.regex: '(?=C)T' uses look-around or a back-reference, which could take for ever; write it without",
    ),
    (
        TO + 'match = { Modality = { regex = "(" } }',
        "route 'r' key match.Modality.regex: '(' is not a regular expression; look at its brackets and backslashes",
    ),
    (
        TO + 'match = { Modality = { regex = "(a{999}){999}" } }',
        "route 'r' key match.Modality.regex: '(a{999}){999}' repeats too much; write smaller numbers in its braces",
    ),
    (
        TO + "match = { Modality = { at_least = 5 } }",
        "route 'r' key match.Modality: has VR CS, which is no number, so at_least cannot be asked; write from and to, or a regex",
    ),
    (
        TO + "match = { Modality = { not = [] } }",
        "route 'r' key match.Modality.not: an empty list allows nothing; name what you mean, or leave the key out",
    ),
    (
        TO + 'match = { StudyDate = { from = "2026-01-01" } }',
        "route 'r' key match.StudyDate: '2026-01-01' is not how VR DA is written; write year, month and day without separators, as \"20261225\"",
    ),
    (
        TO + 'match = { Rows = { to = "5" } }',
        "route 'r' key match.Rows: is a number; write at_least and at_most instead of from and to",
    ),
    (
        TO + 'match = { RequestAttributesSequence = "x" }',
        "route 'r' key match.RequestAttributesSequence: is a sequence; write { present = true }, or a path as RequestAttributesSequence.Keyword",
    ),
    (
        TO + 'match = { RequestAttributesSequence.Modalit = "x" }',
        "route 'r' key match.RequestAttributesSequence.Modalit: 'Modalit' is neither a key of the relay (source, called, host, count, weekday, time, sop_class, instances) nor a DICOM keyword; did you mean 'Modality'?",
    ),
    (
        TO + 'match = { PatientID.Modality = "x" }',
        "route 'r' key match.PatientID.Modality: 'PatientID.Modality': PatientID is not a sequence, so nothing is in it; end the path there",
    ),
    (
        D + 'exclude = { Modalit = "SR" }',
        "destination 'd' key exclude[1].Modalit: 'Modalit' is neither a key of the relay (source, called, host, count, weekday, time, sop_class, instances) nor a DICOM keyword; did you mean 'Modality'?",
    ),
    (
        D + 'exclude = { source = "ct" }',
        "destination 'd' key exclude.source: is not a fact of an instance, and instances are left out one by one; ask it in a route",
    ),
    (
        D + "exclude = [{ Modality = {} }]",
        "destination 'd' key exclude.Modality: asks nothing; write for example { present = true }",
    ),
    (
        TO + "match = { Rows = { above = 5, at_most = 5 } }",
        "route 'r' key match.Rows: asks for a number that is larger and smaller at once; exchange the bounds",
    ),
    (
        TO + 'match = { StudyDate = { from = "20270101", to = "20261231" } }',
        "route 'r' key match.StudyDate: asks for what is after its end; exchange from and to",
    ),
    (
        TO + "match = { Rows = { present = false, above = 5 } }",
        "route 'r' key match.Rows: asks for an absent value to be something; remove present = false, or the rest",
    ),
    # secrets never come back
    (
        '[broker]\nurl = "amqp://u:s3cret@h"',
        "[broker] key url: holds a password; take it out of this file and name a file with it in password_file",
    ),
    (
        '[broker]\nurl = "http://u:s3cret@h"',
        '[broker] key url: must begin with amqp:// or amqps://, like "amqp://relay@host.example/name"',
    ),
    (
        '[broker]\nurl = ["amqp://u:s3cret@h"]',
        '[broker] key url: a list must be text in quotes, such as "amqp://relay@host.example/name"',
    ),
    (
        '[broker]\nurl = "amqp://[u:s3cret@h"',
        '[broker] key url: is not a URL; write it like "amqp://relay@host.example/name"',
    ),
    # what one table says about another
    (R + 'to = ["archve"]', "route 'r' key to: destination 'archve' is not configured; did you mean 'archive'?"),
    (
        R + 'optional = ["x"]',
        "route 'r' key optional: destination 'x' is not configured; configured are 'archive', 'outside'",
    ),
    (TO + 'profile = "readng"', "route 'r' key profile: profile 'readng' is not configured; did you mean 'reading'?"),
    (TO + 'edit = "e"', "route 'r' key edit: edit 'e' is not configured; no edit is"),
    (
        R + 'one_of = [{ destination = "archiv" }]',
        "route 'r' key one_of[1].destination: destination 'archiv' is not configured; did you mean 'archive'?",
    ),
    (
        R + 'one_of = [{ destination = "archive", profile = "readin" }]',
        "route 'r' key one_of[1].profile: profile 'readin' is not configured; did you mean 'reading'?",
    ),
    (
        R + 'one_of = [{ destination = "archive", edit = "e" }]',
        "route 'r' key one_of[1].edit: edit 'e' is not configured; no edit is",
    ),
    (
        R + 'one_of = [{ destination = "archive", during = "c" }]',
        "route 'r' key one_of[1].during: calendar 'c' is not configured; no calendar is",
    ),
    (
        TO + 'match = { source = ["ct", "us"] }',
        "route 'r' key match.source: source 'us' is not configured; configured are 'ct', 'mr'",
    ),
    (
        '[[check]]\nname = "c"\nrequire = ["PatientID"]\nmatch = { source = "us*" }',
        "check 'c' key match.source: source 'us*' is not configured; configured are 'ct', 'mr'",
    ),
    (S.replace('"s"', '"ct"'), "source 'ct' key name: 'ct' is used 2 times; names must differ"),
    (
        S.replace('"S"', '"CT1"'),
        "source 's': a caller can be 'ct' as well; tell them apart by ae_title, hosts or called",
    ),
    (R, "route 'r': delivers to nobody; add to, optional or one_of"),
    (TO + 'kind = "old"', "route 'r' key kind: 'old' is not known here; known are 'new', 'prior'"),
    (TO + 'like = "r"', "route 'r' key like: is said of nothing, because kind is not \"prior\"; remove it"),
    (R + 'kind = "prior"', "route 'r' key like: is missing; name the route with one_of whose choice a prior follows"),
    (R + 'kind = "prior"\nlike = "x"', "route 'r' key like: route 'x' is not configured; configured are 'r'"),
    (R + 'kind = "prior"\nlike = "r"', "route 'r' key like: 'r' has no one_of; name a route that chooses"),
    (
        R
        + 'kind = "prior"\nlike = "q"\nprofile = "reading"\n'
        + R.replace('"r"', '"q"')
        + 'one_of = [{ destination = "archive" }]',
        "route 'r' key profile: has no place beside kind = \"prior\", which goes as route 'q' chose; remove it",
    ),
    (TO + 'optional = ["archive"]', "route 'r': names destination 'archive' 2 times; once is enough"),
    (
        D
        + "deidentified_only = true\n"
        + R
        + 'one_of = [{ destination = "archive", profile = "reading" }, { destination = "d" }]',
        "route 'r' key profile: is missing, but destination 'd' is deidentified_only; add profile, or take 'd' out",
    ),
    (
        D + "deidentified_only = true\n" + R + 'optional = ["d"]',
        "route 'r' key profile: is missing, but destination 'd' is deidentified_only; add profile, or take 'd' out",
    ),
    (
        TO + 'hand_over_after_urgent = "11m"',
        "route 'r' key hand_over_after_urgent: is longer than hand_over_after; make it shorter",
    ),
    (D + 'retry = { first = "10m" }', "destination 'd' key retry.first: is longer than retry.max; make it shorter"),
    (
        '[calendar.c]\nopen = ["mon 08:00-09:00"]',
        '[relay] key timezone: is missing, and calendars need it; write for example "Europe/Lisbon"',
    ),
    (
        '[ingress]\nlisten = ["0.0.0.0:104"]',
        '[ingress] key listen: 0.0.0.0:104 can be reached from other machines without TLS; use [ingress.tls], or write plain = "vpn" when a VPN protects it',
    ),
    (
        S + 'certificate = "ct-1.example"',
        "source 's' key certificate: is only shown to a listener with TLS, and there is none; add [ingress.tls], or remove it",
    ),
    (
        T + S + 'certificate = "sha256:12:34"',
        "source 's' key certificate: 'sha256:12:34' is not a fingerprint; write \"sha256:\" and 64 hexadecimal digits",
    ),
    (
        T + S + 'certificate = ""',
        "source 's' key certificate: '' names no certificate; write a name it holds, such as \"ct-1.example\"",
    ),
    (
        T + S + "certificate = []",
        "source 's' key certificate: an empty list allows nothing; name what you mean, or leave the key out",
    ),
    (T.replace('key = "k"\n', ""), "[ingress] key tls.key: is missing; add it"),
    (
        '[ingress]\nlisten = ["127.0.0.1:2762"]\n' + T,
        "[ingress] key listen: 127.0.0.1:2762 is named 2 times; remove all but one",
    ),
    (
        D + 'tls = { name = "x", ca = "a", key = "k" }',
        "destination 'd' key tls.certificate: is missing; add it, or remove tls.key",
    ),
    (
        D + 'tls = { name = "x", ca = "a", certificate = "k" }',
        "destination 'd' key tls.key: is missing; add it, or remove tls.certificate",
    ),
    (
        D + 'tls = { name = "SHA256:abc", ca = "a" }',
        "destination 'd' key tls.name: 'SHA256:abc' is not a fingerprint; write \"sha256:\" and 64 hexadecimal digits",
    ),
    ("[ingress]\nlisten = []", '[ingress] key listen: names no address; write for example ["127.0.0.1:11112"]'),
    (
        '[ingress]\nlisten = ["[::1]:104", "[::1]:104"]',
        "[ingress] key listen: [::1]:104 is named 2 times; remove all but one",
    ),
]

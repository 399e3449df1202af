"""The conformance battery: does an encoding keep the rules that models rely on?

Public, so that an encoding of your own can be checked as Milepost's are::

    from milepost.testing import check_encoding
    check_encoding(MyEncoding)          # raises CheckFailed with the name of the rule
"""

from milepost.testing.battery import GEOMETRY, CheckResult, check_encoding

__all__ = ["GEOMETRY", "CheckResult", "check_encoding"]

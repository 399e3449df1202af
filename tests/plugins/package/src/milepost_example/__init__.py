"""An encoding, a task and a method of extension that Milepost finds by their entry points."""

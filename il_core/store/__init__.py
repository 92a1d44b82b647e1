"""Files on disk, reader beside writer: recordings (rosbag2 directories) and datasets."""

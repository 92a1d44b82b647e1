"""The only core code that knows ROS: types into messages, QoS, parameters, the node base."""
